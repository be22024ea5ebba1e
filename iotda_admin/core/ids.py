"""Ids as people paste them: on lines or between commas, with duplicates and typos."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.urls.converters import StringConverter

# As IoTDA documents its ids. Nothing else reaches the path of a call.
ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
# A blank does not separate: "pump north" is one invalid id, not two targets.
VALUES_AND_LINE_ENDS = re.compile(r"\r\n?|\n|[^,;\r\n]+")
# Possessive quantifiers: one pass over the text, without backtracking.
WELL_FORMED = re.compile(rf"[,;\r\n]*+(?:{ID.pattern}+(?:[,;\r\n]++|\Z))*+")
PROBLEMS_KEPT = 10


@dataclass(frozen=True, slots=True)
class InvalidId:
    line: int
    value: str


@dataclass(slots=True)
class IdList:
    """Ids of a text or file. Keeps the first `problems` and counts all in `wrong`."""

    ids: list[str] = field(default_factory=list)
    duplicates: int = 0
    problems: list[InvalidId] = field(default_factory=list)
    wrong: int = 0


class TooManyIds(Exception):
    pass


def is_id(value: str) -> bool:
    return ID.fullmatch(value) is not None


def parse_ids(text: str, limit: int | None = None) -> IdList:
    """Return the ids in order of first occurrence, and invalid ones with their line.

    Raises TooManyIds.
    """
    if not WELL_FORMED.fullmatch(text):
        return collect_ids(numbered_values(text), limit)
    # The usual case, in half the time.
    count, seen = 0, dict[str, None]()
    for match in ID.finditer(text):
        count += 1
        seen[match[0]] = None
        if limit is not None and len(seen) > limit:
            raise TooManyIds
    return IdList(list(seen), count - len(seen))


def numbered_values(text: str) -> Iterator[tuple[int, str]]:
    """Yield each value with its line; a list would take much memory for many commas."""
    line = 1
    for match in VALUES_AND_LINE_ENDS.finditer(text):
        piece = match[0]
        if piece[0] in "\r\n":
            line += 1
        elif value := piece.strip().strip("\ufeff").strip():
            yield line, value


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
