"""Ids as people paste them: one a line or separated by commas, with duplicates, blanks and typing errors."""

import re
from dataclasses import dataclass

# Source: the pages of the freeze and device calls. Anything else never reaches a URL path.
ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
# A blank separates nothing: "pump north" is one wrong id and must not become two targets.
SEPARATORS = re.compile(r"[,;]")


@dataclass(frozen=True, slots=True)
class Problem:
    line: int
    value: str


@dataclass(frozen=True, slots=True)
class Pasted:
    ids: list[str]
    duplicates: int
    problems: list[Problem]


def is_id(value: str) -> bool:
    return ID.fullmatch(value) is not None


def parse(text: str) -> Pasted:
    """The ids in the order of their first mention; what is not an id is named with its line."""
    seen: dict[str, None] = {}
    problems: list[Problem] = []
    mentions = 0
    for number, line in enumerate(text.splitlines(), start=1):
        for value in filter(None, map(str.strip, SEPARATORS.split(line.strip("\ufeff")))):
            if is_id(value):
                mentions += 1
                seen[value] = None
            else:
                problems.append(Problem(number, value))
    return Pasted(list(seen), mentions - len(seen), problems)


class IdConverter:
    """Nothing but a well-formed id reaches a view, and so the platform's URL."""

    regex = ID.pattern

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value
