"""CSV files that open safely in a spreadsheet, with text in every language."""

import csv
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import batched

from django.http import StreamingHttpResponse

from iotda_admin.core.database import no_statement_limit

# A spreadsheet may read these as the start of a formula, and skips those after it.
SIGNS = "=+-@%＝＋－＠"
SKIPPED = " \"'\u200b\u200c\u200d\ufeff"
# Where a spreadsheet may end a cell, even between quotes: Excel splits at the semicolon
# in half of the world, and then takes our quotes for text.
SEPARATORS = ";|\t\r\n"
# Without it, Excel reads UTF-8 as the encoding of its country.
BYTE_ORDER_MARK = "\ufeff"
FORMULA = f"[{re.escape(SKIPPED)}]*[{re.escape(SIGNS)}]"
# The first character of a cell of ours can be a separator.
STARTS_CELL = re.compile(f"(?:{FORMULA}|[{re.escape(SKIPPED)}]*[{SEPARATORS}])")
FOLLOWS_SEPARATOR = re.compile(f"(?<=[{SEPARATORS}])(?={FORMULA})")
# Finds a line that may hold such a cell.
SUSPECT = re.compile(f'(?:^|,)"{STARTS_CELL.pattern}|[{SEPARATORS}]{FORMULA}')
LINE_END = "\r\n"
LINES_PER_PIECE = 200


def csv_response(
    name: str, columns: Sequence[str], rows: Iterable[Sequence[object]], /
) -> StreamingHttpResponse:
    """Stream a CSV file of any length."""
    return file_response(name, "text/csv; charset=utf-8", csv_lines(columns, rows))


def file_response(
    name: str, content_type: str, lines: Iterable[str], /
) -> StreamingHttpResponse:
    """Stream a file, however long the database takes for its rows."""
    return StreamingHttpResponse(
        pieces(lines),
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def pieces(lines: Iterable[str]) -> Generator[str]:
    """Join lines, because each piece has a fixed cost.

    If the browser goes away, Django closes the generator.
    """
    with no_statement_limit():
        yield from map("".join, batched(lines, LINES_PER_PIECE))


class Echo:
    """A file for csv.writer that returns each line instead of storing it."""

    def write(self, line: str) -> str:
        return line


def csv_lines(
    columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> Iterator[str]:
    writer = csv.writer(Echo(), quoting=csv.QUOTE_ALL, lineterminator=LINE_END)
    yield BYTE_ORDER_MARK + writer.writerow(columns)
    for row in rows:
        line = writer.writerow(row)
        # Checking every cell takes longer than writing it; suspect lines are rare.
        if SUSPECT.search(line, 0, len(line) - len(LINE_END)):
            line = writer.writerow([escape_formula(value) for value in row])
        yield line


def escape_formula(value: object) -> str:
    """Return a cell that a spreadsheet reads as text, and each part of it as well."""
    text = "" if value is None else str(value)
    guarded = FOLLOWS_SEPARATOR.sub("'", text)
    return f"'{guarded}" if STARTS_CELL.match(text) else guarded
