"""Reads lists of IDs: pasted text, text files, CSV, JSON and Excel sheets.

All entries (page, file, command line) read with this module. It decodes, tidies, finds
the separator and the column; where a table leaves open which column holds the IDs it
raises ColumnNeeded.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import chain, islice, repeat
from typing import IO

from django.utils.translation import gettext as _

from iotda_admin.core.id_columns import (
    HAS_DIGIT,
    ROWS_SHOWN,
    Column,
    ColumnNeeded,
    find_column,
    is_heading,
    simplified,
)
from iotda_admin.core.ids import IdList, collect_ids, collect_lines, is_id
from iotda_admin.core.text_files import UnreadableFile, open_text
from iotda_admin.core.tidy import SEPARATORS, strip_invisible, tidy
from iotda_admin.core.xlsx import is_zip, sheet_rows

type Row = tuple[int, list[str]]
type Value = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a list, each with its line, and the heading above them, if any."""

    values: Iterator[Value]
    column: str = ""

    def ids(self, limit: int) -> IdList:
        """Return the IDs among the values. Raise TooManyIds above the limit."""
        found = collect_ids(self.values, limit)
        found.column = self.column
        return found


LINE_LIMIT = 65_536
# Of one line that holds all IDs.
CHARACTERS_PER_TARGET = 140
# Blank lines and duplicates also cost time.
LINES_PER_TARGET = 10
CELLS_PER_TARGET = 20
# A row of text is not kept, but each of its cells costs time.
TEXT_CELLS_PER_TARGET = 50
VALUES = re.compile(rf"[^{re.escape(SEPARATORS)}\t\r\n\v\f\x85\u2028\u2029]+")
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
BLANKS_AFTER_QUOTE = re.compile(r'" +(?=[,;\t\r\n]|\Z)')
LINES = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n|(?<=[^\r\n])\Z)")
# The usual case, read in a fraction of the time: one ID a line, and no heading.
IDS_WITH_DIGITS = re.compile(r"(?:[A-Za-z_-]*+[0-9][A-Za-z0-9_-]*+(?:\r\n|\r|\n|\Z))*+")
HEAD_LINES = 20
# The node ID of many devices. Other values with a colon are times more often than IDs.
MAC_ADDRESS = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5,7}")


def read_id_file(
    file: IO[bytes], *, limit: int, kind: str = "device", column: Column | None = None
) -> IdList:
    """Return the IDs of a file. Raise UnreadableFile, ColumnNeeded or TooManyIds.

    Hold a few rows in memory at a time, unless the file is JSON or an Excel sheet.
    """
    if is_zip(file):
        rows = sheet_rows(file, limit * CELLS_PER_TARGET)
        return table_values(rows, kind, column).ids(limit)
    text = open_text(file)
    try:
        found = None if column else read_plain_list(text, limit)
        if found is None:
            text.seek(0)
            found = text_values(text.readline, limit, kind, column).ids(limit)
        return found
    finally:
        text.detach()


def read_id_text(
    text: str, *, limit: int, kind: str = "device", column: Column | None = None
) -> IdList:
    """Return the IDs of a text as `read_id_file` does."""
    if column is None and IDS_WITH_DIGITS.fullmatch(text):
        return collect_lines(text.splitlines(), limit)
    # StringIO would copy the text with four bytes a character.
    found = split_lines(text)
    values = text_values(lambda _size: next(found, ""), limit, kind, column)
    return values.ids(limit)


def read_plain_list(text: IO[str], limit: int) -> IdList | None:
    """Return the IDs of a text that has one on each line; None for any other text."""
    lines = list[str]()
    while piece := text.read(LINE_LIMIT):
        rest = text.readline(LINE_LIMIT)
        whole = len(rest) < LINE_LIMIT and len(lines) <= limit * LINES_PER_TARGET
        if not (whole and IDS_WITH_DIGITS.fullmatch(piece + rest)):
            return None
        lines += (piece + rest).splitlines()
    return collect_lines(lines, limit)


def list_as_text(ids: Sequence[str]) -> str:
    """Return IDs as text that is read back without a question."""
    # A first ID without a digit could be a heading.
    heading = [] if not ids or HAS_DIGIT.search(ids[0]) else ["id"]
    return "\n".join([*heading, *ids])


def read_id_arguments(arguments: Iterable[str], *, limit: int) -> IdList:
    """Return the IDs of a command's arguments: each is a list on one line."""
    values = (list_values(argument, 0, limit) for argument in arguments)
    return collect_ids(chain.from_iterable(values), limit)


def split_lines(text: str) -> Iterator[str]:
    return (match[0] for match in LINES.finditer(text))


def file_as_text(file: IO[bytes], limit: int) -> str:
    """Return a file as text to paste, or nothing if it has more characters."""
    file.seek(0)
    if is_zip(file):
        out = StringIO()
        csv.writer(out, "excel-tab").writerows(
            row for _n, row in sheet_rows(file, limit)
        )
        text = out.getvalue()
    else:
        stream = open_text(file)
        text = stream.read(limit + 1)
        stream.detach()
    return text if len(text) <= limit else ""


def text_values(
    readline: Callable[[int], str], limit: int, kind: str, column: Column | None
) -> Values:
    """Return the values of a text."""
    source = lines(readline, limit)
    blank, first = next_filled(source)
    if first.lstrip().startswith("["):
        whole = first + "".join(source)
        if (rows := json_rows(whole, limit)) is not None:
            return table_values(rows, kind, column)
        source = split_lines(whole)
        first = next(source)
    between, second = next_filled(source)
    given = separator_line(first)
    if given:
        blank, first = blank + 1 + between, second
        between, second = next_filled(source)
    if len(first) > LINE_LIMIT and (second or column):
        raise line_too_long(blank + 1)
    head = [first, second, *islice(source, HEAD_LINES)]
    separator, index = find_separator(head, kind, column, given)
    is_table = second or given or column or "\t" in first.strip()
    if index is None and not is_table:
        return Values(list_values(first, blank + 1, limit))
    source = chain(
        repeat("\n", blank), [first], repeat("\n", between), [second], head[2:], source
    )
    table = within_cells(rows_of(source, separator), limit * TEXT_CELLS_PER_TARGET)
    return table_values(table, kind, column)


def lines(readline: Callable[[int], str], limit: int) -> Iterator[str]:
    """Yield the lines, without invisible characters and the marks of quoted mail.

    Only the first may be very long: it may hold all IDs.
    """
    number, longest = 0, max(LINE_LIMIT, limit * CHARACTERS_PER_TARGET)
    while line := readline(longest + 1):
        number += 1
        if len(line) > longest:
            raise line_too_long(number)
        if number > limit * LINES_PER_TARGET:
            raise UnreadableFile(
                _("The file has more than %(limit)d lines.")
                % {"limit": limit * LINES_PER_TARGET}
            )
        line = strip_invisible(line)
        if (bare := line.lstrip()).startswith(">"):
            line = bare.lstrip("> \t")
        if bare:
            longest = LINE_LIMIT
        yield line


def line_too_long(line: int) -> UnreadableFile:
    message = _("Line %(line)d is too long. Put one ID on each line.")
    return UnreadableFile(message % {"line": line})


def next_filled(source: Iterator[str]) -> tuple[int, str]:
    """Return the next line that is not blank, and the number of blank ones before."""
    blank = 0
    for line in source:
        if line.strip():
            return blank, line
        blank += 1
    return blank, ""


def separator_line(line: str) -> str:
    """Return the separator that Excel's first line ``sep=;`` names, if it is one."""
    match = SEPARATOR_LINE.fullmatch(line.rstrip("\r\n"))
    return match[1] if match and match[1] in f"{SEPARATORS}\t:" else ""


def json_rows(text: str, limit: int) -> list[Row] | None:
    """Return the rows of a JSON list of strings, lists or objects."""
    try:
        data = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        if "[" in text[1:]:
            raise UnreadableFile(_("This looks like JSON, but is damaged.")) from error
        return None
    rows = data
    if data and all(isinstance(row, dict) for row in data):
        names = list(dict.fromkeys(chain.from_iterable(data)))
        if len(names) * len(data) > limit * CELLS_PER_TARGET:
            raise UnreadableFile(_("This JSON has too many different names."))
        rows = [names, *([row.get(name) for name in names] for row in data)]
    elif not any(isinstance(row, list | dict) for row in data):
        rows = [[value] for value in data]
    elif not all(isinstance(row, list) for row in data):
        raise UnreadableFile(_("This JSON is neither a list of IDs nor a table."))
    return [(n, [json_cell(cell) for cell in row]) for n, row in enumerate(rows, 1)]


def json_cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    # JSON can write half a character, which no page can show.
    return text.encode(errors="backslashreplace").decode()


def find_separator(
    head: Sequence[str], kind: str, column: Column | None, given: str
) -> tuple[str, int | None]:
    """Return the separator, and the index of the column that has a heading with it."""
    first = head[0][:LINE_LIMIT]
    candidates = given or sorted(
        "\t;,|，；、", key=lambda sign: sum(sign in line for line in head), reverse=True
    )
    for separator in candidates:
        if given or separator in first or separator == candidates[0]:
            row = next((row for _line, row in rows_of([first], separator)), [])
            index = column.find(row)[0] if column else find_column(row, kind)
            if index is not None:
                return separator, index
    # A tab is not typed by accident.
    best = "\t" if any("\t" in line.strip() for line in head) else candidates[0]
    return given or best, None


def rows_of(text: Iterable[str], separator: str) -> Iterator[Row]:
    """Yield each row with its first line."""
    text = (
        BLANKS_AFTER_QUOTE.sub('"', line) if '" ' in line else line for line in text
    )
    reader = csv.reader(
        text, delimiter=separator, strict=True, skipinitialspace=separator != " "
    )
    ended = 0
    try:
        for row in reader:
            yield ended + 1, row
            ended = reader.line_num
    except csv.Error as error:
        message = _("Unbalanced quotes from line %(line)d on: one may never be closed.")
        raise UnreadableFile(message % {"line": ended + 1}) from error


def within_cells(rows: Iterable[Row], limit: int) -> Iterator[Row]:
    """Yield the rows. Raise UnreadableFile once they have more cells than the limit."""
    cells = 0
    for line, row in rows:
        cells += len(row)
        if cells > limit:
            message = _(
                "The file has more than %(limit)d cells. Keep only the column with the"
                " IDs."
            )
            raise UnreadableFile(message % {"limit": limit})
        yield line, row


def list_values(text: str, line: int, limit: int) -> Iterator[Value]:
    """Yield the values of a list on one line."""
    for number, match in enumerate(VALUES.finditer(text)):
        if number > limit * LINES_PER_TARGET:
            raise line_too_long(line)
        if value := tidy(match[0]):
            yield line, value


def table_values(rows: Iterable[Row], kind: str, column: Column | None) -> Values:
    """Return the values of the column that holds the IDs. Raise ColumnNeeded."""
    rows = ((line, row) for line, row in rows if any(map(tidy, row)))
    head = list(islice(rows, ROWS_SHOWN + 1))
    if not head:
        return Values(iter(()))
    first, samples = head[0][1], [row for _line, row in head]
    rows = chain(head, rows)
    if column is None:
        index = find_column(first, kind)
        if index is None:
            return Values(unnamed_values(rows, samples))
    else:
        index, heading = column.find(first)
        if index is None:
            problem = _("No single column is named “%(name)s”.") % {"name": column.name}
            raise ColumnNeeded(samples, problem)
        if not heading:
            return Values(plain_values(rows, index))
    return Values(named_values(rows, index, kind), tidy(first[index]))


def plain_values(rows: Iterable[Row], index: int) -> Iterator[Value]:
    for line, row in rows:
        yield line, cell_at(row, index)


def cell_at(row: Sequence[str], index: int) -> str:
    return tidy(row[index]) if index < len(row) else ""


def named_values(rows: Iterator[Row], index: int, kind: str) -> Iterator[Value]:
    """Yield the values below a heading; joined exports repeat it."""
    _line, headings = next(rows)
    name, width = simplified(headings[index]), len(headings)
    types = [n for n, cell in enumerate(headings) if simplified(cell) == "targettype"]
    for line, row in rows:
        value = cell_at(row, index)
        if name == "targetid" and any(cell_at(row, n) != kind for n in types):
            # The audit trail's CSV has targets of all types.
            continue
        if not HAS_DIGIT.search(value):
            if repeats_heading(row, index, name, kind, line):
                width = len(row)
                continue
            if not value and name == "targetid":
                # The audit trail's CSV has events without a target.
                continue
        if any(map(tidy, row[width:])):
            # A cell without a column may be an ID: report the row as invalid.
            value = " ".join(row)
        yield line, value


def repeats_heading(
    row: Sequence[str], index: int, name: str, kind: str, line: int
) -> bool:
    """Return whether the row is the heading again. Raise for another heading."""
    other = find_column(row, kind) if any(is_heading(c, kind) for c in row) else None
    if other not in (None, index):
        message = _(
            "Line %(line)d is a heading with the IDs in another column. Send these"
            " tables one by one."
        )
        raise UnreadableFile(message % {"line": line})
    return other == index or simplified(cell_at(row, index)) == name != ""


def unnamed_values(
    rows: Iterable[Row], samples: Sequence[Sequence[str]]
) -> Iterator[Value]:
    """Yield the values of a table without a known heading.

    Raise ColumnNeeded once a second column could hold IDs, or if the first row looks
    like a heading.
    """
    column: int | None = None
    first, others_have_digits, count = "", True, 0
    for count, (line, row) in enumerate(rows, 1):
        cells = [tidy(cell) for cell in row]
        holding = [n for n, cell in enumerate(cells) if may_hold_id(cell)]
        if column is None and holding:
            column = holding[0]
        if holding not in ([], [column]) or (count == 1 and is_unclear(cells, holding)):
            raise ColumnNeeded(samples)
        value = " ".join(filter(None, cells) if column is None else cells[column:][:1])
        if count == 1:
            first = value
        elif not (is_id(value) and HAS_DIGIT.search(value)):
            others_have_digits = False
        yield line, value
    if count > 1 and others_have_digits and not HAS_DIGIT.search(first):
        problem = _("“%(text)s” looks like a heading, not an ID.") % {
            "text": first[:60]
        }
        raise ColumnNeeded(samples, problem)


def is_unclear(cells: Sequence[str], holding: Sequence[int]) -> bool:
    return not holding and sum(map(bool, cells)) > 1


def may_hold_id(cell: str) -> bool:
    """Return whether a cell is an ID or has one between separators."""
    return is_id_like(cell) or any(
        is_id_like(tidy(part)) for part in VALUES.findall(cell)
    )


def is_id_like(value: str) -> bool:
    return is_id(value) or MAC_ADDRESS.fullmatch(value) is not None
