"""Ids as people paste them: one a line or separated by commas, with duplicates, blanks and typing errors."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.db import connection
from django.db.models.expressions import RawSQL

# Source: the pages of the freeze and device calls. Anything else never reaches a URL path.
ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
# A blank separates nothing: "pump north" is one wrong id and must not become two targets.
PIECES = re.compile(r"\r\n?|\n|[^,;\r\n]+")
# Possessive, so that it is decided in one pass over the text.
WELL_FORMED = re.compile(rf"[,;\r\n]*+(?:{ID.pattern}+(?:[,;\r\n]++|\Z))*+")
PROBLEMS_KEPT = 10


@dataclass(frozen=True, slots=True)
class Problem:
    line: int
    value: str


@dataclass(slots=True)
class Pasted:
    """What was found. Of very many problems only the first are kept, and all are counted."""

    ids: list[str] = field(default_factory=list)
    duplicates: int = 0
    problems: list[Problem] = field(default_factory=list)
    wrong: int = 0


class TooManyIds(Exception):
    pass


def is_id(value: str) -> bool:
    return ID.fullmatch(value) is not None


def parse(text: str, limit: int | None = None) -> Pasted:
    """The ids in the order of their first mention; what is not an id is named with its line."""
    if not WELL_FORMED.fullmatch(text):
        return collect(pieces(text), limit)
    # Nearly always nothing is wrong, and then it is twice as quick.
    count, seen = 0, dict[str, None]()
    for match in ID.finditer(text):
        count += 1
        seen[match[0]] = None
        if limit is not None and len(seen) > limit:
            raise TooManyIds
    return Pasted(list(seen), count - len(seen))


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """Each value with its line, one after the other: a list of a million commas would be a large one."""
    line = 1
    for match in PIECES.finditer(text):
        piece = match[0]
        if piece[0] in "\r\n":
            line += 1
        elif value := piece.strip().strip("\ufeff").strip():
            yield line, value


def collect(values: Iterable[tuple[int, str]], limit: int | None = None) -> Pasted:
    """Raises TooManyIds as soon as there are more than the limit."""
    found, seen = Pasted(), dict[str, None]()
    for line, value in values:
        if not is_id(value):
            found.wrong += 1
            if found.wrong <= PROBLEMS_KEPT:
                found.problems.append(Problem(line, value[:200]))
        elif value in seen:
            found.duplicates += 1
        else:
            seen[value] = None
            if limit is not None and len(seen) > limit:
                raise TooManyIds
    found.ids = list(seen)
    return found


def among(values: Sequence[str]) -> RawSQL:
    """For `__in`: very many values as one parameter, for databases limit how many there may be."""
    if connection.vendor == "postgresql":
        return RawSQL("SELECT unnest(%s::text[])", [list(values)])
    return RawSQL("SELECT value FROM json_each(%s)", [json.dumps(values)])


class IdConverter:
    """Nothing but a well-formed id reaches a view, and so the platform's URL."""

    regex = ID.pattern

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value
