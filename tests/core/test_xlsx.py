"""Excel workbooks that are hostile or broken are refused with a sentence."""

from io import BytesIO
from zipfile import ZipFile

import pytest

from iotda_admin.core.id_import import read_id_file
from iotda_admin.core.text_files import UnreadableFile
from tests.core.workbooks import MAIN, OFFICE, PACKAGE, sheet, workbook

GOOD = workbook([["Site", "Device ID"], ["roof", "a1"]])


def cells(rows: str) -> str:
    return f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>'


def zip_of(**files: str) -> bytes:
    out = BytesIO()
    with ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def with_another_target(target: str) -> bytes:
    """Return a workbook whose sheet is in a file that is not counted as XML."""
    out = BytesIO(workbook())
    listed = (
        f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="x" sheetId="1" r:id="r1"/></sheets></workbook>'
    )
    relations = (
        f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1"'
        f' Type="{OFFICE}/worksheet" Target="{target}"/></Relationships>'
    )
    with ZipFile(out, "w") as archive:
        archive.writestr("xl/workbook.xml", listed)
        archive.writestr("xl/_rels/workbook.xml.rels", relations)
        archive.writestr(f"xl/{target}", sheet([["id"], ["a1"]]))
    return out.getvalue()


FAR = '<row r="1"><c r="A1"><v>1</v></c></row><row r="900000"><c r="XFD900000"><v>1</v></c></row>'
MANY_USES = "".join(
    f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(1, 1200)
)
LONG = f'<sst xmlns="{MAIN}"><si><t>{"x" * 100_000}</t></si></sst>'
TWO_ROWS = '<row r="500"><c r="A1"><v>1</v></c><c><v>2</v></c></row>'
LONG_INDEX = f'<row r="1"><c r="A1" t="s"><v>{"1" * 1_000_000}</v></c></row>'
BAD = {
    "a cell that names another row": (
        workbook([[]], sheet1=cells(TWO_ROWS)),
        "damaged",
    ),
    "an endless index of a text": (workbook([[]], sheet1=cells(LONG_INDEX)), "damaged"),
    "two cells far apart": (workbook([[]], sheet1=cells(FAR)), "too large"),
    "one long text in many cells": (
        workbook([[]], shared=LONG, sheet1=cells(MANY_USES)),
        "too large",
    ),
    "a bomb": (workbook([[]], sheet1=cells(" " * 120_000_000)), "too large"),
    "an entity": (
        workbook(
            [[]], sheet1="<!DOCTYPE x [<!ENTITY a 'b'>]><worksheet>&a;</worksheet>"
        ),
        "damaged",
    ),
    "a sheet that ends early": (workbook([[]], sheet1="<worksheet><row>"), "damaged"),
    "a cell nowhere": (
        workbook([[]], sheet1=cells('<row r="1"><c r="ÄÖ"><v>1</v></c></row>')),
        "damaged",
    ),
    "a sheet in a file of another type": (with_another_target("s.dat"), "damaged"),
    "no visible sheet": (workbook([["id"]], hidden=[1]), "no visible sheet"),
    "another ZIP file": (zip_of(**{"a.txt": "a1"}), "not an Excel workbook"),
    "the binary format": (
        zip_of(**{"xl/workbook.xml": "<a/>", "xl/workbook.bin": ""}),
        "not an Excel workbook",
    ),
    "changed content": (GOOD.replace(b"sheet1.xml", b"sheet9.xml", 1), "damaged"),
}


@pytest.mark.parametrize(("data", "says"), BAD.values(), ids=BAD)
def test_a_hostile_workbook_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(UnreadableFile, match=says):
        read_id_file(BytesIO(data), limit=1000)


@pytest.mark.parametrize("end", range(4, len(GOOD), 97))
def test_a_workbook_cut_short_is_refused(end: int) -> None:
    with pytest.raises(UnreadableFile):
        read_id_file(BytesIO(GOOD[:end]), limit=1000)


def test_a_sheet_with_gaps_keeps_its_line_numbers() -> None:
    rows = [[], ["Site", "id"], ["roof", "a 1"]]
    (problem,) = read_id_file(BytesIO(workbook(rows)), limit=9).problems
    assert (problem.line, problem.value) == (3, "a 1")
