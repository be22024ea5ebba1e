"""Reads the first sheet of an Excel workbook, checked before it is parsed."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, time
from typing import IO
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError

from django.utils.translation import gettext as _
from python_calamine import (
    CalamineWorkbook,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from iotda_admin.core.text_files import PIECE, UnreadableFile

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
# Of the workbook's files, unpacked; of all texts, as often as cells use them.
BYTES_LIMIT = 100_000_000
FILES_LIMIT = 1_000
TEXT_LIMIT = 100_000_000
REFERENCE = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")
# Excel keeps 15 digits of a number and changes the others to 0.
EXACT_NUMBERS = 10**15


def is_zip(file: IO[bytes]) -> bool:
    start = file.read(4)
    file.seek(0)
    return start in ZIP


def sheet_rows(file: IO[bytes], cells_limit: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of the first visible sheet. Raise UnreadableFile."""
    check_workbook(file, cells_limit)
    file.seek(0)
    try:
        with CalamineWorkbook.from_filelike(file) as workbook:
            index = first_sheet(workbook)
            sheet = workbook.get_sheet_by_index(index)
            for number, row in enumerate(sheet.iter_rows(), 1):
                yield number, [cell_text(cell) for cell in row]
    except (UnreadableFile, GeneratorExit, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # The reader's panics are no Exception.
        raise workbook_damaged() from error


def first_sheet(workbook: CalamineWorkbook) -> int:
    for index, sheet in enumerate(workbook.sheets_metadata):
        if (
            sheet.visible == SheetVisibleEnum.Visible
            and sheet.typ == SheetTypeEnum.WorkSheet
        ):
            return index
    raise UnreadableFile(_("This workbook has no visible sheet."))


def cell_text(cell: object) -> str:
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, int | float):
        # "E+" is in no ID: a number that Excel has rounded is reported, not changed.
        whole = abs(cell) < EXACT_NUMBERS and cell == int(cell)
        return str(int(cell)) if whole else f"{cell:.5E}"
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell)


def check_workbook(file: IO[bytes], cells_limit: int) -> None:
    """Unpack a workbook once, within limits, and count what parsing it will need.

    The parser holds all cells between the first and the last one at once, so a few
    bytes could take all memory.
    """
    size = WorkbookSize(cells_limit)
    try:
        with ZipFile(file) as archive:
            entries = archive.infolist()
            names = {entry.filename for entry in entries}
            if "xl/workbook.xml" not in names or "xl/workbook.bin" in names:
                raise UnreadableFile(
                    _(
                        "This ZIP file is not an Excel workbook (.xlsx). Upload .xlsx or CSV."
                    )
                )
            if len(entries) > FILES_LIMIT:
                raise workbook_too_large()
            if sum(entry.file_size for entry in entries) > BYTES_LIMIT:
                raise workbook_too_large()
            for entry in entries:
                with archive.open(entry) as part:
                    if entry.filename.lower().endswith((".xml", ".rels")):
                        size.add(part)
                    else:
                        skip(part)
            size.check()
    except (
        BadZipFile, ZlibError, expat.ExpatError, OSError, EOFError,
        NotImplementedError, RuntimeError, ValueError,
    ) as error:  # fmt: skip
        raise workbook_damaged() from error


def skip(part: IO[bytes]) -> None:
    """Read a file to its end: that it is larger than it says is an error."""
    while part.read(PIECE):
        pass


def workbook_too_large() -> UnreadableFile:
    return UnreadableFile(
        _("This Excel file is too large. Save the sheet with the IDs as CSV.")
    )


def workbook_damaged() -> UnreadableFile:
    return UnreadableFile(
        _("This Excel file is damaged or protected. Save the sheet as CSV.")
    )


# Of the index of a shared text.
NUMBER_LENGTH = 20


@dataclass(slots=True)
class WorkbookSize:
    """Counts the cells and texts in the XML files of a workbook."""

    cells_limit: int
    cells: int = 0
    row: int = 0
    column: int = 0
    last_row: int = 0
    last_column: int = 0
    is_shared: bool = False
    inside: str = ""
    number: str = ""
    # The lengths of the shared texts, and how often each is used.
    texts: list[int] = field(default_factory=list)
    uses: Counter[int] = field(default_factory=Counter)

    def add(self, part: IO[bytes]) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = refuse_doctype
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters
        self.row = self.column = 0
        parser.ParseFile(part)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        match name.rpartition(":")[2]:
            case "row":
                self.row = int(attributes.get("r", self.row + 1))
                self.column = 0
            case "c":
                self.place(attributes.get("r", ""))
                self.is_shared = attributes.get("t") == "s"
            case "v" | "is":
                self.inside, self.number = "v" if self.is_shared else "", ""
                self.count_cell()
            case "si":
                self.inside = "si"
                self.texts.append(0)
            case "Relationship":
                check_target(attributes)

    def end(self, name: str) -> None:
        name = name.rpartition(":")[2]
        if name == "v" and self.inside == "v":
            self.uses[int(self.number)] += 1
        if name in ("v", "si"):
            self.inside = ""

    def characters(self, text: str) -> None:
        if self.inside == "si":
            self.texts[-1] += len(text)
        elif self.inside == "v":
            self.number += text
            if len(self.number) > NUMBER_LENGTH:
                raise workbook_damaged()

    def place(self, reference: str) -> None:
        """Move to the cell of a reference like AB12, or to the next cell."""
        match = REFERENCE.fullmatch(reference)
        if match:
            if int(match[2]) != self.row:
                # A reader may go by either of them.
                raise workbook_damaged()
            self.column = 0
            for letter in match[1].upper():
                self.column = self.column * 26 + ord(letter) - 64
        elif reference:
            raise workbook_damaged()
        else:
            self.column += 1

    def count_cell(self) -> None:
        self.cells += 1
        self.last_row = max(self.last_row, self.row)
        self.last_column = max(self.last_column, self.column)
        if max(self.cells, self.last_row * self.last_column) > self.cells_limit:
            raise workbook_too_large()

    def check(self) -> None:
        lengths = [
            self.texts[n] * uses for n, uses in self.uses.items() if n < len(self.texts)
        ]
        if sum(lengths) > TEXT_LIMIT:
            raise workbook_too_large()


def check_target(attributes: dict[str, str]) -> None:
    """Refuse a sheet in a file that was not counted."""
    kind, target = attributes.get("Type", ""), attributes.get("Target", "")
    parsed = kind.endswith(("/worksheet", "/sharedStrings", "/officeDocument"))
    if parsed and not target.lower().endswith(".xml"):
        raise workbook_damaged()


def refuse_doctype(*_declared: object) -> None:
    raise workbook_damaged()
