"""limit, marker and offset: the same for every list."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import Refusal, invalid
from .records import LAST, Recorded, Records, marker
from .settings import Settings

LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX = 10, 50, 500
_MARKER = re.compile(r"[0-9a-fA-F]{24}")
_NUMBER = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Window:
    limit: int = LIMIT_DEFAULT
    offset: int = 0
    below: int = LAST

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "Window":
        limit = _number(given.get("limit"), LIMIT_DEFAULT)
        if limit is None or not 1 <= limit <= LIMIT_MAX:
            raise Refusal(
                400,
                "IOTDA.000017",
                f"Invalid input. limit must be from 1 to {LIMIT_MAX}.",
            )
        offset = _number(given.get("offset"), 0)
        if offset is None or not 0 <= offset <= OFFSET_MAX:
            raise invalid(f"offset must be from 0 to {OFFSET_MAX}.")  # assumed code
        text = given.get("marker")
        if text is None:
            return cls(limit, offset)
        if not isinstance(text, str) or not _MARKER.fullmatch(text):
            raise Refusal(
                400,
                "IOTDA.000018",
                "Invalid input. marker must be 24 hexadecimal digits.",
            )
        return cls(limit, offset, int(text, 16))


def _number(given: object, default: int) -> int | None:
    if given is None:
        return default
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    return int(given) if isinstance(given, str) and _NUMBER.fullmatch(given) else None


def page[Item: Recorded](
    name: str,
    records: Records[Item],
    window: Window,
    row: Callable[[Item], dict[str, Any]],
    settings: Settings,
) -> dict[str, Any]:
    items = records.window(window.below, window.offset, window.limit)
    count = records.below(window.below) if settings.count_after_marker else len(records)
    about: dict[str, Any] = {"count": count}
    if items:
        about["marker"] = marker(items[-1].record)
    elif settings.empty_page_marker == "empty":
        about["marker"] = ""
    elif settings.empty_page_marker == "echo":
        about["marker"] = marker(window.below)
    return {name: [row(item) for item in items], "page": about}
