"""What an ID is, and lists of IDs with their duplicates and typos."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from django.urls import reverse
from django.urls.converters import StringConverter
from django.utils.translation import gettext as _

from iotda_admin.core.text_files import UnreadableFile

# As IoTDA documents its ids. Nothing else reaches the path of a call.
ID_LENGTH = 128
ID = re.compile(rf"[A-Za-z0-9_-]{{1,{ID_LENGTH}}}")
PROBLEMS_KEPT = 10
# The longest name of a target.
NAME_LENGTH = 256


@dataclass(frozen=True, slots=True)
class InvalidId:
    line: int
    value: str


class Candidate(NamedTuple):
    """A target that a value may mean; ``about`` tells it from others of its name."""

    id: str
    name: str
    about: str = ""


@dataclass(slots=True)
class Match:
    """The targets that one value of a list names otherwise than by ID.

    by: what the value is to them, such as “node ID”
    candidates: the first few of them; count: how many there are
    """

    value: str
    by: str
    candidates: list[Candidate] = field(default_factory=list)
    count: int = 0


# Finds the targets that values name. A value that is the ID of a target has no match.
type Lookup = Callable[[Sequence[str]], Mapping[str, Match]]


@dataclass(slots=True)
class IdList:
    """Ids of a text or file. Keeps the first `problems` and counts all in `wrong`.

    column: the heading above the IDs in a table
    others: the values that are not IDs, each with its lines
    looked_up: whether targets were looked for by other values than their IDs
    resolved: the match by which an ID was found
    ambiguous: the values that name several targets
    """

    ids: list[str] = field(default_factory=list)
    duplicates: int = 0
    problems: list[InvalidId] = field(default_factory=list)
    wrong: int = 0
    column: str = ""
    others: dict[str, list[int]] = field(default_factory=dict)
    looked_up: bool = False
    resolved: dict[str, Match] = field(default_factory=dict)
    ambiguous: list[Match] = field(default_factory=list)


class TooManyIds(Exception):
    pass


def is_id(value: str) -> bool:
    return ID.fullmatch(value) is not None


def object_url(view: str, id: str) -> str:
    """Return the address of an object of IoTDA; nothing if its ID cannot be in one."""
    return reverse(view, args=[id]) if is_id(id) else ""


def collect_ids(values: Iterable[tuple[int, str]], limit: int | None = None) -> IdList:
    """Return the valid ids without duplicates. Raises TooManyIds above the limit."""
    found, seen = IdList(), dict[str, None]()
    for line, value in values:
        if not is_id(value):
            found.wrong += 1
            if found.wrong <= PROBLEMS_KEPT:
                found.problems.append(InvalidId(line, value[:200]))
            if value in found.others or len(found.others) < (limit or 0):
                found.others.setdefault(value, []).append(line)
        elif value in seen:
            found.duplicates += 1
        else:
            seen[value] = None
            if limit is not None and len(seen) > limit:
                raise TooManyIds
    found.ids = list(seen)
    return found


def collect_lines(lines: Sequence[str], limit: int) -> IdList:
    """Return the ids of a text that has one on each line, as `collect_ids` does.

    The caller has checked their characters.
    """
    if max(map(len, lines), default=0) > ID_LENGTH:
        return collect_ids(enumerate(lines, 1), limit)
    ids = list(dict.fromkeys(lines))
    if len(ids) > limit:
        raise TooManyIds
    return IdList(ids, len(lines) - len(ids))


def resolve_ids(found: IdList, lookup: Lookup) -> None:
    """Replace the values that name a target otherwise than by ID with its ID.

    A value that names several targets is not guessed: it goes to ``ambiguous``. Raise
    UnreadableFile if the only ID is a heading above names.
    """
    found.looked_up = True
    matches = lookup([*found.ids, *filter(may_be_name, found.others)])
    if not matches:
        return
    if is_heading_of(found, matches):
        message = _("“%(text)s” looks like a heading, not an ID. Remove this line.")
        raise UnreadableFile(message % {"text": found.ids[0][:60]})
    ids = dict[str, None]()
    for value in [*found.ids, *found.others]:
        match = matches.get(value)
        if match and match.count > 1:
            found.ambiguous.append(match)
        elif match:
            id = match.candidates[0].id
            found.duplicates += id in ids
            ids[id] = None
            found.resolved[id] = match
        elif value not in found.others:
            found.duplicates += value in ids
            ids[value] = None
    found.ids = list(ids)
    forget_problems(found, matches)


def is_heading_of(found: IdList, matches: Mapping[str, Match]) -> bool:
    """Return whether all values but the first are names, and that has no digit."""
    unmatched = [id for id in found.ids if id not in matches]
    if found.column or not unmatched or unmatched != found.ids[:1]:
        return False
    if re.search("[0-9]", unmatched[0]):
        return False
    lines = [line for each in found.others.values() for line in each]
    return found.others.keys() <= matches.keys() and min(lines, default=2) > 1


def may_be_name(value: str) -> bool:
    return len(value) <= NAME_LENGTH and value.isprintable()


def forget_problems(found: IdList, matches: Mapping[str, Match]) -> None:
    """Keep the problems of the values without a match."""
    for value in matches.keys() & found.others.keys():
        lines = found.others.pop(value)
        found.wrong -= len(lines)
        found.duplicates += len(lines) - 1
    left = [
        InvalidId(line, value[:200])
        for value, lines in found.others.items()
        for line in lines
    ]
    found.problems = sorted(left, key=lambda each: each.line)[:PROBLEMS_KEPT]


class IdConverter(StringConverter):
    """Match valid ids only, so that a view can put them into the path of a call."""

    regex = ID.pattern
