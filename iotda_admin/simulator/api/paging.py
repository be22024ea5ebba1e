"""limit, marker and offset, which are the same for every list."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..settings import Settings
from ..state.records import LAST, Record, RecordList, marker
from .errors import ApiError, invalid_input

LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX = 10, 50, 500
_MARKER = re.compile(r"[0-9a-fA-F]{24}")
_NUMBER = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Window:
    limit: int = LIMIT_DEFAULT
    offset: int = 0
    below: int = LAST  # only records with a smaller ID

    @classmethod
    def read(cls, parameters: Mapping[str, Any]) -> "Window":
        """Read the window from a query or from a request body."""
        limit = _number(parameters.get("limit"), LIMIT_DEFAULT)
        if limit is None or not 1 <= limit <= LIMIT_MAX:
            raise ApiError(
                400,
                "IOTDA.000017",
                f"Invalid input. limit must be from 1 to {LIMIT_MAX}.",
            )
        offset = _number(parameters.get("offset"), 0)
        if offset is None or not 0 <= offset <= OFFSET_MAX:
            raise invalid_input(
                f"offset must be from 0 to {OFFSET_MAX}."
            )  # assumed code
        text = parameters.get("marker")
        if text is None:
            return cls(limit, offset)
        if not isinstance(text, str) or not _MARKER.fullmatch(text):
            raise ApiError(
                400,
                "IOTDA.000018",
                "Invalid input. marker must be 24 hexadecimal digits.",
            )
        return cls(limit, offset, int(text, 16))


def _number(value: object, default: int) -> int | None:
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None


def page[Item: Record](
    key: str,
    records: RecordList[Item],
    window: Window,
    row: Callable[[Item], dict[str, Any]],
    settings: Settings,
) -> dict[str, Any]:
    """Return the rows of a window under `key`, and the page's count and marker."""
    items = records.window(window.below, window.offset, window.limit)
    count = (
        records.count_below(window.below)
        if settings.count_after_marker
        else len(records)
    )
    about: dict[str, Any] = {"count": max(0, count + settings.count_error)}
    if items:
        about["marker"] = marker(items[-1].record_id)
    elif settings.empty_page_marker == "empty":
        about["marker"] = ""
    elif settings.empty_page_marker == "echo":
        about["marker"] = marker(window.below)
    return {key: [row(item) for item in items], "page": about}
