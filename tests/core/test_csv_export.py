"""No part of a cell is a formula, whatever separator a spreadsheet splits at."""

import csv
import io
import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotda_admin.core.csv_export import SKIPPED, csv_lines, escape_formula

SIGNS = tuple("=+-@%＝＋－＠")
EVIL = [
    "off;=1+1", "off; =1+1", "off;\t@SUM(A1)", "off\t-2", "off|+3", "off\r\n=1", 'off;"=1"',
    "off;'=1", "off;\u200b=1", "off;＝1", ";=1", "a;b;=1;c", "off;%0A=1",
]  # fmt: skip


def parts(cell: str, separator: str) -> list[str]:
    """Split a line of the file as a spreadsheet does that takes quotes for text."""
    (line,) = list(csv_lines(["x"], [["before", cell, "after"]]))[1:]
    return re.split(f"[{separator}]", line)


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("separator", [";", "|", "\\t", "\\r\\n", ";|\\t\\r\\n"])
def test_no_part_of_a_cell_is_a_formula(evil: str, separator: str) -> None:
    found = parts(evil, separator)
    assert [part for part in found if part.lstrip(' "\u200b').startswith(SIGNS)] == []


@pytest.mark.parametrize(
    "text",
    ["a, -5 °C", "INC-4711", "a=b", "a;b", "a;b=c", "x|y", "pump;;valve", "a - b", ""],
)
def test_other_text_is_unchanged(text: str) -> None:
    assert escape_formula(text) == text


# All characters that matter, and some that do not.
texts = st.text(st.sampled_from("ab;|\t\r\n =+-@%'\"\u200b＝,"), max_size=12)


@given(texts)
def test_each_line_is_guarded_as_its_cells_are_and_can_be_restored(text: str) -> None:
    lines = "".join(csv_lines(["x"], [["y", text]]))
    *_, (_y, cell) = csv.reader(io.StringIO(lines, newline=""))
    assert cell == escape_formula(text)
    inner = re.sub(rf"(?<=[;|\t\r\n])'(?=[{SKIPPED}]*[=+@＝%-])", "", cell)
    marked = re.match(rf"'[{SKIPPED}]*[=+@＝%;|\t\r\n-]", inner)
    # A text of ours that looks guarded is guarded once more.
    assert (inner[1:] if marked else inner) == text


def test_a_long_text_of_blanks_costs_no_time() -> None:
    started = process_time()
    escape_formula(";" + " " * 20_000 + ";" * 20_000)
    assert process_time() - started < 0.5
