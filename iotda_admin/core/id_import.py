"""Ids from uploaded files: plain text, or CSV as spreadsheets and exports write it."""

import csv
import re
from collections.abc import Iterator, Sequence
from io import BytesIO, TextIOWrapper
from itertools import chain
from typing import IO

from django.utils.translation import gettext as _

from iotda_admin.core.ids import IdList, collect_ids, is_id, parse_ids

LINE_LIMIT = 65_536
# Blank lines and duplicates also cost time.
LINES_PER_TARGET = 10
NAMES = ("targetid", "id", "ids", "target")
NOT_IN_NAMES = re.compile(r"[\W_]+")
EXCEL_OR_ZIP = b"PK\x03\x04"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class UnreadableFile(Exception):
    """The file cannot be read; the message says why."""


def read_id_file(file: IO[bytes], *, limit: int, kind: str = "device") -> IdList:
    """Return the ids of the column named for them, else of the first column.

    Without a header, if the first row has ids only, every cell is an id. Holds one
    line in memory at a time. Raises UnreadableFile and TooManyIds.
    """
    head = file.read(4096)
    file.seek(0)
    if head.startswith(EXCEL_OR_ZIP):
        raise UnreadableFile(
            _("This is an Excel or ZIP file. Save the sheet as CSV and upload that.")
        )
    wide = head.startswith(UTF_16)
    if b"\0" in head and not wide:
        raise UnreadableFile(
            _("This is not a text file. Upload CSV, or plain text with one ID a line.")
        )
    # Ids are ASCII, so other columns may be in any encoding.
    text = TextIOWrapper(
        file, "utf-16" if wide else "utf-8-sig", errors="backslashreplace", newline=""
    )
    try:
        return collect_ids(
            cells(lines(text, limit * LINES_PER_TARGET), separator_of(head), kind),
            limit,
        )
    finally:
        text.detach()


def read_id_text(text: str, *, limit: int, kind: str = "device") -> IdList:
    """Read a table with a column named for the ids like a file; else a list of ids."""
    data = text.encode(errors="backslashreplace")
    separator = separator_of(data[:4096])
    first = text.lstrip()[:4096].partition("\n")[0]
    if column_of_ids(first.split(separator), kind) is None:
        return parse_ids(text, limit)
    return read_id_file(BytesIO(data), limit=limit, kind=kind)


def lines(text: TextIOWrapper, limit: int) -> Iterator[str]:
    number = 0
    while line := text.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT:
            raise UnreadableFile(
                _("Line %(line)d is too long. Put one ID on each line.")
                % {"line": number}
            )
        if number > limit:
            raise UnreadableFile(
                _("The file has more than %(limit)d lines.") % {"limit": limit}
            )
        yield line


def cells(text: Iterator[str], separator: str, kind: str) -> Iterator[tuple[int, str]]:
    """Yield the id of each row with its line; every cell if there are only ids."""
    table = rows(text, separator)
    first = next(table, None)
    if first is None:
        return
    column, width = column_of_ids(first[1], kind), len(first[1])
    if column is None:
        table = chain([first], table)
        if all(map(is_id, filled(first[1]))):
            for line, row in table:
                for value in filled(row):
                    yield line, value
            return
    for line, row in table:
        if len(row) > width and filled(row[width:]):
            # A cell without a column may be an id: report the row as invalid.
            yield line, separator.join(row)
        else:
            yield line, "".join(row[column or 0 :][:1]).strip()


def filled(row: Sequence[str]) -> list[str]:
    return [value for cell in row if (value := cell.strip())]


def rows(text: Iterator[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank, with its first line."""
    reader, ended = csv.reader(text, delimiter=separator, strict=True), 0
    try:
        for row in reader:
            if any(map(str.strip, row)):
                yield ended + 1, row
            ended = reader.line_num
    except csv.Error as error:
        message = _("Unbalanced quotes from line %(line)d on: one may never be closed.")
        raise UnreadableFile(message % {"line": ended + 1}) from error


def separator_of(head: bytes) -> str:
    first = next(
        (
            line
            for line in head.splitlines()
            if line.strip(b"\0 \t\xef\xbb\xbf\xff\xfe")
        ),
        b"",
    )
    found = {separator: first.count(separator.encode()) for separator in ";\t,"}
    return (
        max(found, key=lambda separator: found[separator])
        if any(found.values())
        else ","
    )


def column_of_ids(row: Sequence[str], kind: str) -> int | None:
    """Return the column named for the ids: device_id, Device ID, target_id, id, …"""
    names = [NOT_IN_NAMES.sub("", cell).lower() for cell in row]
    return next(
        (names.index(name) for name in (f"{kind}id", *NAMES, kind) if name in names),
        None,
    )
