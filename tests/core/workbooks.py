"""Writes Excel workbooks by hand, also such that no program would write."""

from collections.abc import Sequence
from io import BytesIO
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
TYPES = (
    f'<Types xmlns="{PACKAGE}/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Default Extension="rels" ContentType='
    '"application/vnd.openxmlformats-package.relationships+xml"/></Types>'
)
type Cell = str | int | float


def column_letters(number: int) -> str:
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def cell(value: Cell, row: int, column: int) -> str:
    place = f"{column_letters(column)}{row}"
    if isinstance(value, str):
        text = escape(value)
        return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'


def sheet(rows: Sequence[Sequence[Cell]]) -> str:
    lines = "".join(
        f'<row r="{y}">{"".join(cell(value, y, x) for x, value in enumerate(row, 1))}</row>'
        for y, row in enumerate(rows, 1)
    )
    return f'<worksheet xmlns="{MAIN}"><sheetData>{lines}</sheetData></worksheet>'


def relations(kinds: Sequence[tuple[str, str]]) -> str:
    inner = "".join(
        f'<Relationship Id="r{n}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(kinds, 1)
    )
    return f'<Relationships xmlns="{PACKAGE}/relationships">{inner}</Relationships>'


def workbook(
    *sheets: Sequence[Sequence[Cell]], hidden: Sequence[int] = (), **parts: str
) -> bytes:
    """Return a workbook. `parts` replace or add files: sheet1, sharedStrings, …"""
    names = [f"sheet{n}" for n in range(1, len(sheets) + 1)]
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"'
        f"{' state=' + chr(34) + 'hidden' + chr(34) if n in hidden else ''}/>"
        for n, name in enumerate(names, 1)
    )
    kinds = [("worksheet", f"worksheets/{name}.xml") for name in names]
    files = {
        "[Content_Types].xml": TYPES,
        "_rels/.rels": relations([("officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": (
            f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{listed}</sheets>'
            "</workbook>"
        ),
        "xl/_rels/workbook.xml.rels": relations(
            [*kinds, ("sharedStrings", "sharedStrings.xml")]
        ),
        "xl/sharedStrings.xml": parts.get("shared", f'<sst xmlns="{MAIN}"/>'),
    }
    for name, rows in zip(names, sheets, strict=True):
        files[f"xl/worksheets/{name}.xml"] = parts.get(name, sheet(rows))
    out = BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return out.getvalue()
