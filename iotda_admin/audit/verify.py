"""Reads the whole trail, as it stands in the database, and says where it was tampered with."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from iotda_admin.audit import hooks
from iotda_admin.audit.chain import (
    DETAIL,
    HASHED_COLUMNS,
    KIND,
    KINDS_WITH_REASON,
    REASON,
    Head,
    UnknownKey,
    event_hash,
    key_id,
    reason_words,
)
from iotda_admin.audit.models import Anchor, Event, Outcome, ReasonWord
from iotda_admin.audit.triggers import triggers_intact

NOT_AS_WRITTEN = "is not as it was written"
NO_EVENT = "is said to tell of a target, but there is no such event"
NO_REASON = "is said to have a word of its reason, but there is no such event"
# What stands in tables of its own. Such rows of an event to come would be blamed on that one later.
PARTS: list[tuple[Any, str]] = [(Outcome, NO_EVENT), (ReasonWord, NO_REASON)]
WITHOUT_KEY = (
    "was written without the key, so anybody with the database may have written it. Expect a head that was "
    "noted after the key was set: what is before it is proved by that"
)
HEAD = re.compile(r"0:|[0-9]{1,18}:[0-9a-f]{64}")
# So many are held in memory.
ROWS_TOGETHER = 2000
# As the chain spells them: no conversion in Python, which would take longer than the hashing.
CANONICAL_SQL = {
    "sqlite": {
        # Of any other type it is not what was written, though it may look like that.
        "at": "CASE WHEN length(at) = 19 AND typeof(at) = 'text' THEN at || '.000000' ELSE at END",
        # A bare column would come back as a bool.
        "outside_hours": "CASE outside_hours WHEN 0 THEN 0 WHEN 1 THEN 1 END",
    },
    "postgresql": {
        "at": "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
        "outside_hours": "outside_hours::int",
    },
}


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What a reading of the trail has found. bad: the first event that is not as it was written."""

    events: int
    # What the events say of their targets: rows as well, and hashed as well.
    outcomes: int
    head: Head
    bad: int | None = None
    why: str = ""


class BrokenChain(Exception):
    def __init__(self, seq: int, why: str) -> None:
        super().__init__(seq, why)
        self.seq, self.why = seq, why


def verify_trail(expect: str = "") -> VerifyResult:
    """Read it from its beginning, or from where its archived part ends.

    expect: a head that was noted earlier, "seq:hash"; without it, a tail that was cut off is not missed.
    Raises ValueError if it is none.
    Memory does not grow with the trail. Source of the method: each event's hash covers the one before it.
    """
    with read_snapshot():
        reading = ChainReader(chain_start(), expect)
        try:
            reading.check_all()
        except BrokenChain as broken:
            return VerifyResult(
                reading.count, reading.outcomes, reading.end, broken.seq, broken.why
            )
        return VerifyResult(reading.count, reading.outcomes, reading.end)


@contextmanager
def read_snapshot() -> Iterator[None]:
    """The trail as it is at one moment, without a lock: what is added or archived meanwhile is not seen.
    Inside a transaction it is the caller's."""
    here: Any = connection
    if here.in_atomic_block:
        yield
    elif here.vendor == "postgresql":
        with transaction.atomic(), here.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    else:
        here.ensure_connection()
        # Ours begin as writers, and everybody else would have to wait.
        mode, here.transaction_mode = here.transaction_mode, "DEFERRED"
        try:
            with transaction.atomic():
                yield
        finally:
            here.transaction_mode = mode


def chain_start() -> Head:
    """Where the trail begins in the database: after its archived part."""
    return Head(
        *(
            Anchor.objects.order_by("-last").values_list("last", "hash").first()
            or (0, "")
        )
    )


class ChainReader:
    """How far the chain was followed."""

    def __init__(self, end: Head, expect: str) -> None:
        self.end, self.count, self.outcomes, self.key = end, 0, 0, ""
        self.present_key = key_id(settings.AUDIT_KEY)
        # The first event that only a head could prove.
        self.unproved = 0
        self.expected = parse_head(expect) if expect else None
        self.anchors = dict(Anchor.objects.values_list("last", "hash"))
        self.told: set[int] = set()

    def check_all(self) -> None:
        start = self.end.seq
        if Event.objects.filter(id__lte=start).exists():
            raise BrokenChain(
                start, "was archived or never was, and stands in the trail"
            )
        self.check_expected_of_archive(start)
        while rows := self.next_rows():
            rows, targets = self.with_targets(rows)
            for *row, hash in rows:
                self.check(row, hash, targets.pop(row[0], ()))
            for seq in sorted(targets):
                raise BrokenChain(seq, NO_EVENT)
            check_reason_words(rows)
        for model, why in PARTS:
            if model.objects.filter(event__lte=start).exists():
                raise BrokenChain(start, why)
        self.check_end()

    def next_rows(self) -> list[tuple[Any, ...]]:
        # First, so that inside a transaction, too, neither part of an event that is just added is missed.
        strays = [
            (seq, why)
            for model, why in PARTS
            for (seq,) in model.objects.filter(event__gt=self.end.seq)
            .order_by("event")
            .values_list("event")[:1]
        ]
        try:
            with transaction.atomic():
                rows = event_rows_after(self.end.seq)
        except (DatabaseError, UnicodeError):
            return self.readable_rows()
        if strays and not rows:
            raise BrokenChain(*min(strays))
        return rows

    def readable_rows(self) -> list[tuple[Any, ...]]:
        """One by one up to what the database itself cannot read."""
        try:
            with transaction.atomic():
                return event_rows_after(self.end.seq, 1)
        except (DatabaseError, UnicodeError):
            raise BrokenChain(self.end.seq + 1, "cannot be read") from None

    def with_targets(
        self, rows: list[tuple[Any, ...]]
    ) -> tuple[list[tuple[Any, ...]], dict[int, Any]]:
        """As many of the rows as the database can read with what they say of their targets."""
        for some in (rows, rows[:1]):
            try:
                with transaction.atomic():
                    return some, targets_of_events(self.end.seq, some[-1][0])
            except (DatabaseError, UnicodeError):
                continue
        raise BrokenChain(rows[0][0], "cannot be read")

    def check(self, row: list[Any], hash: str, targets: Any) -> None:
        seq = row[0]
        if seq != self.end.seq + 1:
            raise BrokenChain(self.end.seq + 1, "is missing")
        if row[-1] != self.key or row[-1] != self.present_key:
            self.check_key(seq, row[-1])
        try:
            right = event_hash(self.end.hash, row, targets)
        except UnknownKey as error:
            raise BrokenChain(
                seq, f"was written with another key ({error}): see AUDIT_OLD_KEYS"
            ) from None
        except (TypeError, ValueError):
            raise BrokenChain(seq, NOT_AS_WRITTEN) from None
        if right != hash:
            raise BrokenChain(seq, NOT_AS_WRITTEN)
        if row[KIND] == "audit.pruned":
            self.check_anchor(seq, row)
        if self.expected and self.expected.seq == seq and self.expected.hash != hash:
            raise BrokenChain(seq, "does not have the expected hash")
        self.end, self.key = Head(seq, hash), row[-1]
        self.count += 1
        self.outcomes += len(targets)

    def check_key(self, seq: int, key: str) -> None:
        """Whoever has the database, or a key that has leaked, could write all anew as if it were from before
        the present key, and wait for the next event: so nothing weaker comes after it."""
        if self.key and not key:
            raise BrokenChain(seq, "was written without the key")
        if self.present_key and self.key == self.present_key != key:
            raise BrokenChain(
                seq, "was written with a key of before, after the present one"
            )
        if (
            self.present_key
            and not key
            and (self.expected is None or self.expected.seq < seq)
        ):
            self.unproved = self.unproved or seq

    def check_expected_of_archive(self, start: int) -> None:
        """Of what was archived only the ends are known here."""
        if self.expected and 0 < self.expected.seq <= start:
            if self.expected.seq not in self.anchors:
                raise BrokenChain(
                    self.expected.seq, "is in the archive: expect a newer head"
                )
            if self.anchors[self.expected.seq] != self.expected.hash:
                raise BrokenChain(self.expected.seq, "does not have the expected hash")

    def check_anchor(self, seq: int, row: Sequence[Any]) -> None:
        """What was archived ended as the chain says it did."""
        detail = json.loads(row[DETAIL])
        self.told.add(detail["last"])
        if self.anchors.get(detail["last"]) != detail["hash"]:
            raise BrokenChain(seq, "tells of an archived part that ended otherwise")

    def check_end(self) -> None:
        if self.expected and self.expected.seq > self.end.seq:
            raise BrokenChain(
                self.end.seq + 1, "is missing: the trail was cut off here"
            )
        # The events that told of earlier anchors may have been archived with the next part.
        if self.anchors and max(self.anchors) not in self.told:
            raise BrokenChain(
                max(self.anchors),
                "was removed, and no event tells that it was archived",
            )
        if not self.count and not self.anchors and (traces := evidence_of_events()):
            raise BrokenChain(
                1, f"is missing: the trail is empty, though there are {traces}"
            )
        if self.present_key and self.count and self.key != self.present_key:
            raise BrokenChain(self.end.seq, "was not written with the key of AUDIT_KEY")
        if self.unproved:
            raise BrokenChain(self.unproved, WITHOUT_KEY)
        if not triggers_intact():
            raise BrokenChain(
                self.end.seq,
                "could be changed: the database's triggers are gone, or others. Run migrate",
            )


def evidence_of_events() -> str:
    """What would have been recorded, in tables that are not the trail's: another room's, so by its name."""
    if hooks.operations.exist():
        return "operations"
    return (
        "users who have signed in"
        if User.objects.exclude(last_login=None).exists()
        else ""
    )


def check_reason_words(rows: Sequence[Sequence[Any]]) -> None:
    """The words are made from the events, so no hash covers them; without them a reason is not found."""
    first, last = rows[0][0], rows[-1][0]
    kept: dict[int, set[str]] = defaultdict(set)
    for seq, word in words_of_events(first, last):
        kept[seq].add(word)
    for row in rows:
        brought = reason_words(row[REASON]) if row[KIND] in KINDS_WITH_REASON else set()
        if brought != kept.pop(row[0], set()):
            raise BrokenChain(
                row[0],
                "has other words of its reason in the index by which it is found",
            )


def parse_head(text: str) -> Head:
    """A head as it is shown. What is none must not pass as if nothing were expected."""
    if not HEAD.fullmatch(text.strip()):
        raise ValueError(
            f"A head is written as NUMBER:HASH with all of the hash, not {text!r}."
        )
    seq, _colon, hash = text.strip().partition(":")
    return Head(int(seq), hash)


def event_rows_after(seq: int, limit: int = ROWS_TOGETHER) -> list[tuple[Any, ...]]:
    spelled = CANONICAL_SQL[connection.vendor]
    columns = ", ".join(
        spelled.get(name, connection.ops.quote_name(name))
        for name in (*HASHED_COLUMNS, "hash")
    )
    sql = f"SELECT {columns} FROM audit_event WHERE id > %s ORDER BY id LIMIT {limit}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [seq])
        return list(cursor.fetchall())


def words_of_events(first: int, last: int) -> list[tuple[int, str]]:
    sql = "SELECT event_id, word FROM audit_reasonword WHERE event_id BETWEEN %s AND %s"
    with connection.cursor() as cursor:
        cursor.execute(sql, [first, last])
        return list(cursor.fetchall())


def targets_of_events(after: int, last: int) -> dict[int, list[Sequence[str]]]:
    sql = """
        SELECT event_id, target_id, target_name, outcome, code, message FROM audit_outcome
        WHERE event_id > %s AND event_id <= %s ORDER BY event_id, id
    """
    found: dict[int, list[Sequence[str]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(sql, [after, last])
        for row in cursor.fetchall():
            found[row[0]].append(row[1:])
    return found
