"""Finds the column of a table that holds the IDs: by its heading, never by guess."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from iotda_admin.core.text_files import UnreadableFile
from iotda_admin.core.tidy import tidy

# The names of the column per kind of target, the most exact first.
NAMES = {
    "device": ("deviceid", "设备id", "設備id", "设备标识"),
    "product": ("productid", "产品id", "產品id"),
    "app": ("appid", "spaceid", "resourcespaceid", "资源空间id", "資源空間id"),
}
COMMON = ("targetid", "目标id", "目標id", "id")
NODES = ("nodeid", "节点id", "節點id", "设备标识码", "设备编号")
# They name the IDs only where no other column could be meant.
ALONE = {
    "device": ("device", "设备", "設備"),
    "product": ("product", "产品"),
    "app": ("app", "space", "资源空间"),
}
# What may follow a name, in brackets.
REMARKS = {"text", "string", "required", "optional", "文本", "字符串", "必填", "选填"}
PARTS = re.compile(r"[()\[\]{}【】《》<>/|]+")
NOT_IN_NAMES = re.compile(r"[\W_]+")
HAS_DIGIT = re.compile(r"[0-9]")
NUMBER = re.compile(r"[0-9]{1,5}")
COLUMNS_SHOWN, ROWS_SHOWN, CELL_SHOWN = 20, 3, 40


@dataclass(frozen=True, slots=True)
class Column:
    """The column that a person chose, by heading or by number, counted from 1.

    heading: whether the first row is a heading; None: only if it has this name
    """

    name: str
    heading: bool | None = None

    def find(self, row: Sequence[str]) -> tuple[int | None, bool]:
        """Return its index in a table that begins with the row; whether that is a heading."""
        number = int(self.name) if NUMBER.fullmatch(self.name) else 0
        by_number = number - 1 if 0 < number <= len(row) else None
        if self.heading is not None:
            return by_number, self.heading
        wanted = simplified(self.name)
        named = [n for n, cell in enumerate(row) if simplified(cell) == wanted]
        if named:
            return named[0] if len(named) == 1 else None, True
        return by_number, False


class ColumnNeeded(UnreadableFile):
    """Only a person can say which column holds the IDs.

    columns: the first row; samples: the next rows
    """

    def __init__(self, rows: Sequence[Sequence[str]], problem: str = "") -> None:
        shown = [[shortened(cell) for cell in row[:COLUMNS_SHOWN]] for row in rows]
        self.columns, self.samples = shown[0], shown[1 : ROWS_SHOWN + 1]
        super().__init__(
            _("%(problem)s Which column has the IDs? Row 1: %(columns)s. %(rows)s")
            % {
                "problem": problem or _("No heading names the IDs."),
                "columns": ", ".join(f"“{cell}”" for cell in self.columns),
                "rows": self.rows_text(),
            }
        )

    @property
    def has_heading(self) -> bool:
        """Return whether the first row looks like a heading: no digit is in it."""
        return not any(map(HAS_DIGIT.search, self.columns))

    @property
    def choices(self) -> list[tuple[int, str, list[str]]]:
        """Return the number, the heading and the first values of each column."""
        return [
            (
                number,
                name,
                [row[number - 1] for row in self.samples if number <= len(row)],
            )
            for number, name in enumerate(self.columns, 1)
        ]

    def rows_text(self) -> str:
        if not self.samples:
            return ""
        rows = "; ".join(" | ".join(row) for row in self.samples)
        text = ngettext(
            "Next row: %(rows)s.", "Next rows: %(rows)s.", len(self.samples)
        )
        return text % {"rows": rows}


def shortened(cell: str) -> str:
    text = " ".join(tidy(cell).split())
    return text if len(text) <= CELL_SHOWN else f"{text[:CELL_SHOWN]}…"


def simplified(cell: str) -> str:
    text = unicodedata.normalize("NFKC", tidy(cell)).casefold()
    return NOT_IN_NAMES.sub("", text) or text


def find_column(row: Sequence[str], kind: str) -> int | None:
    """Return the index of the column named for the IDs of this kind, if there is one.

    Two columns of the same name leave it open.
    """
    names = [heading_name(cell, kind) for cell in row]
    for name in ranked_names(kind):
        if name in names:
            return names.index(name) if names.count(name) == 1 else None
    filled = [n for n, cell in enumerate(row) if tidy(cell)]
    if len(filled) == 1 and is_alone_name(row[filled[0]], kind):
        return filled[0]
    return None


def ranked_names(kind: str) -> tuple[str, ...]:
    nodes = NODES if kind == "device" else ()
    return (*NAMES.get(kind, (f"{kind}id",)), *COMMON, *nodes)


def is_alone_name(cell: str, kind: str) -> bool:
    names = ("target", *ALONE.get(kind, ()))
    return singular(simplified(cell), names) in names


def is_heading(cell: str, kind: str) -> bool:
    return heading_name(cell, kind) is not None


def heading_name(cell: str, kind: str) -> str | None:
    """Return the known name that a heading has: Device IDs, 设备ID (文本), …

    Every part has to be known: “ID (gateway)” is not the ID of the device.
    """
    if len(cell) > 100 or (cell.isascii() and "id" not in cell.lower()):
        return None
    return _known_name(cell, kind)


@lru_cache(maxsize=1024)
def _known_name(cell: str, kind: str) -> str | None:
    known = ranked_names(kind)
    text = unicodedata.normalize("NFKC", tidy(cell)).casefold()
    parts = [NOT_IN_NAMES.sub("", part) for part in PARTS.split(text)]
    names = [singular(part, known) for part in parts if part and part not in REMARKS]
    if not names or not set(names) <= set(known):
        return None
    return min(names, key=known.index)


def singular(name: str, known: Sequence[str]) -> str:
    return name.removesuffix("s") if name not in known else name
