"""What an ID is, and lists of IDs with their duplicates and typos."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.urls.converters import StringConverter

# As IoTDA documents its ids. Nothing else reaches the path of a call.
ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
PROBLEMS_KEPT = 10


@dataclass(frozen=True, slots=True)
class InvalidId:
    line: int
    value: str


@dataclass(slots=True)
class IdList:
    """Ids of a text or file. Keeps the first `problems` and counts all in `wrong`.

    column: the heading above the IDs in a table
    """

    ids: list[str] = field(default_factory=list)
    duplicates: int = 0
    problems: list[InvalidId] = field(default_factory=list)
    wrong: int = 0
    column: str = ""


class TooManyIds(Exception):
    pass


def is_id(value: str) -> bool:
    return ID.fullmatch(value) is not None


def collect_ids(values: Iterable[tuple[int, str]], limit: int | None = None) -> IdList:
    """Return the valid ids without duplicates. Raises TooManyIds above the limit."""
    found, seen = IdList(), dict[str, None]()
    for line, value in values:
        if not is_id(value):
            found.wrong += 1
            if found.wrong <= PROBLEMS_KEPT:
                found.problems.append(InvalidId(line, value[:200]))
        elif value in seen:
            found.duplicates += 1
        else:
            seen[value] = None
            if limit is not None and len(seen) > limit:
                raise TooManyIds
    found.ids = list(seen)
    return found


class IdConverter(StringConverter):
    """Match valid ids only, so that a view can put them into the path of a call."""

    regex = ID.pattern
