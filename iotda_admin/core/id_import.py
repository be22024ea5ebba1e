"""Ids from a file that somebody uploads: plain text, or CSV as spreadsheets and exports write it."""

import csv
import re
from collections.abc import Iterator, Sequence
from io import BytesIO, TextIOWrapper
from itertools import chain
from typing import IO

from django.utils.translation import gettext as _

from iotda_admin.core.ids import Pasted, collect, is_id, parse

LINE_LIMIT = 65_536
# Blank lines and duplicates cost time as well.
LINES_A_TARGET = 10
NAMES = ("targetid", "id", "ids", "target")
NOT_IN_NAMES = re.compile(r"[\W_]+")
EXCEL_OR_ZIP = b"PK\x03\x04"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Unreadable(Exception):
    """Nothing was taken from this file; the text says why."""


def read(file: IO[bytes], *, limit: int, kind: str = "device") -> Pasted:
    """The ids of the column that is named for them, else of the first; of all columns, where the first row
    has ids only. At most one line is held at a time.

    Raises Unreadable and TooManyIds.
    """
    head = file.read(4096)
    file.seek(0)
    if head.startswith(EXCEL_OR_ZIP):
        raise Unreadable(
            _("This is an Excel or ZIP file. Save the sheet as CSV and upload that.")
        )
    wide = head.startswith(UTF_16)
    if b"\0" in head and not wide:
        raise Unreadable(
            _("This is not a text file. Upload CSV, or plain text with one ID a line.")
        )
    # An id is ASCII: what other columns hold in an old encoding does no harm.
    text = TextIOWrapper(
        file, "utf-16" if wide else "utf-8-sig", errors="backslashreplace", newline=""
    )
    try:
        return collect(
            cells(lines(text, limit * LINES_A_TARGET), separator_of(head), kind), limit
        )
    finally:
        text.detach()


def read_pasted(text: str, *, limit: int, kind: str = "device") -> Pasted:
    """A table with a column that is named for the ids is read like a file; else each value is an id."""
    data = text.encode(errors="backslashreplace")
    separator = separator_of(data[:4096])
    first = text.lstrip()[:4096].partition("\n")[0]
    if column_of_ids(first.split(separator), kind) is None:
        return parse(text, limit)
    return read(BytesIO(data), limit=limit, kind=kind)


def lines(text: TextIOWrapper, limit: int) -> Iterator[str]:
    number = 0
    while line := text.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT:
            raise Unreadable(
                _("Line %(line)d is too long. Put one ID on each line.")
                % {"line": number}
            )
        if number > limit:
            raise Unreadable(
                _("The file has more than %(limit)d lines.") % {"limit": limit}
            )
        yield line


def cells(text: Iterator[str], separator: str, kind: str) -> Iterator[tuple[int, str]]:
    """The cell of each row that holds the id, with its line. Nothing but ids without a header: every cell."""
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
            # What has no column may be an id, and must not get lost: the row is named, as what is no id.
            yield line, separator.join(row)
        else:
            yield line, "".join(row[column or 0 :][:1]).strip()


def filled(row: Sequence[str]) -> list[str]:
    return [value for cell in row if (value := cell.strip())]


def rows(text: Iterator[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the line that it begins on."""
    reader, ended = csv.reader(text, delimiter=separator, strict=True), 0
    try:
        for row in reader:
            if any(map(str.strip, row)):
                yield ended + 1, row
            ended = reader.line_num
    except csv.Error as error:
        message = _(
            "From line %(line)d on the quotes make no sense: one may never be closed."
        )
        raise Unreadable(message % {"line": ended + 1}) from error


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
    """Which column is named for the ids: device_id, Device ID, target_id, id, …"""
    names = [NOT_IN_NAMES.sub("", cell).lower() for cell in row]
    return next(
        (names.index(name) for name in (f"{kind}id", *NAMES, kind) if name in names),
        None,
    )
