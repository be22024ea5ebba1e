"""Tables that people download and open in a spreadsheet."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import batched

from django.http import StreamingHttpResponse

# What a spreadsheet may take for the start of a formula or of a new cell, and what it skips before that.
FORMULA = "=+-@%;\t\r\n＝＋－＠"
UNSEEN = " \"'\u200b\u200c\u200d\ufeff"
# In a line of quoted cells: perhaps such a cell.
SUSPECT = re.compile(f'(?:^|,)"[{re.escape(UNSEEN)}]*[{re.escape(FORMULA)}]')
END = "\r\n"


def download(
    name: str, columns: Sequence[str], rows: Iterable[Sequence[object]], /
) -> StreamingHttpResponse:
    """A CSV file that is sent while it is made, however long it is."""
    response = StreamingHttpResponse(
        together(lines(columns, rows)), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def together(lines: Iterable[str]) -> Iterator[str]:
    """Each piece that is sent has its price."""
    for some in batched(lines, 200):
        yield "".join(some)


class Echo:
    """What csv writes into: it hands each line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    writer = csv.writer(Echo(), quoting=csv.QUOTE_ALL, lineterminator=END)
    yield writer.writerow(columns)
    for row in rows:
        line = writer.writerow(row)
        # Nearly never: to look at each cell would take longer than to write them.
        if SUSPECT.search(line, 0, len(line) - len(END)):
            line = writer.writerow([cell(value) for value in row])
        yield line


def cell(value: object) -> str:
    """A cell that a spreadsheet shows as text, whatever somebody typed as a reason."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip(UNSEEN).startswith(tuple(FORMULA)) else text
