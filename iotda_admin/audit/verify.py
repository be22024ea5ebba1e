"""Verify the audit trail in the database, and name the first event that was tampered with.

``verify_trail`` verifies the rows by their chain. ``verify_database`` also verifies what
pages and exports find them by.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, transaction

from iotda_admin.audit import hooks
from iotda_admin.audit.chain import (
    DETAIL,
    KIND,
    KINDS_WITH_REASON,
    REASON,
    UnknownKey,
    event_hash,
    key_id,
)
from iotda_admin.audit.checks.filters import check_filters
from iotda_admin.audit.checks.integrity import check_integrity
from iotda_admin.audit.checks.schema import check_schema
from iotda_admin.audit.head import Head
from iotda_admin.audit.models import Anchor, Event, Outcome, ReasonWord
from iotda_admin.audit.rows import (
    ROWS_PER_QUERY,
    Rows,
    chain_start,
    event_rows_after,
    read_snapshot,
    targets_of_events,
)
from iotda_admin.audit.search.words import reason_words
from iotda_admin.audit.triggers import triggers_intact

CHANGED = "was changed"
WRONG_HASH = "does not have the expected hash"
NO_EVENT = "has a target, but there is no such event"
# Tables with rows of events. Rows for a future event would later be blamed on that event.
PARTS: list[tuple[Any, str]] = [
    (Outcome, NO_EVENT),
    (ReasonWord, "has a word in the search index, but there is no such event"),
]
WITHOUT_KEY = (
    "was written without the key, so anyone with write access to the database could "
    "have written it. Expect a head that was noted after the key was set: that proves "
    "the events before it"
)
HEAD = re.compile(r"0:|[0-9]{1,18}:[0-9a-f]{64}")


class BrokenChain(Exception):
    """The first event that was tampered with, and what is wrong with it."""


def verify_trail(expect: str = "") -> "Verification":
    """Follow the chain from its start in the database to its end.

    ``expect`` is a head noted earlier, which finds a deleted tail. Raises ValueError if
    it is not a head. Memory does not grow with the trail.
    """
    with read_snapshot():
        verification = Verification(parse_head(expect or "0:"))
        verification.follow_chain()
        return verification


def verify_database(expect: str = "") -> tuple["Verification", list[str]]:
    """Verify the trail, and that pages find its events: indexes, schema and filters.

    Return all errors, with what to do. Raises ValueError as ``verify_trail`` does, and
    OperationalError if the database does not answer.
    """
    trail = Verification(parse_head(expect or "0:"))
    errors: list[str] = []
    # Even the end of a transaction can fail on a damaged file.
    with unreadable_as(errors), read_snapshot():
        for check in (check_integrity, check_schema, trail.follow_chain, check_filters):
            with unreadable_as(errors), transaction.atomic():
                errors += check()
    return trail, errors


@contextmanager
def unreadable_as(errors: list[str]) -> Iterator[None]:
    """Add an error for a damaged part of the database, and go on."""
    try:
        yield
    # A damaged file of SQLite can hold values of any type in any column.
    except (DatabaseError, TypeError, ValueError, OverflowError) as error:
        # It does not answer, unless what was found before explains that.
        if isinstance(error, OperationalError) and not errors:
            raise
        errors.append(f"The database cannot be read ({error}). Restore a backup.")


class Verification:
    """What was verified, and the first event that was tampered with, if any."""

    def __init__(self, expected: Head) -> None:
        self.events = self.outcomes = 0
        self.broken_at: int | None = None
        self.why = ""
        # The last event that was verified, and the id of its key.
        self.head, self.key = Head(0, ""), ""
        self.expected = expected
        self.current_key = key_id(settings.AUDIT_KEY)
        # The first event that only an expected head could prove.
        self.unproved = 0
        self.anchors: dict[int, str] = {}
        self.recorded_anchors: set[int] = set()

    def follow_chain(self) -> list[str]:
        """Return the first error, if there is one."""
        try:
            self.check_all()
        except BrokenChain as broken:
            self.broken_at, self.why = broken.args
            return [f"Event {self.broken_at} {self.why}."]
        return []

    def check_all(self) -> None:
        self.head = chain_start()
        self.anchors = dict(Anchor.objects.values_list("last", "hash"))
        start = self.head.seq
        if Event.objects.filter(id__lte=start).exists():
            raise BrokenChain(start, "is not the start: there are events before it")
        self.check_expected_anchor(start)
        while True:
            # Before the events, so that a new event is never seen without its parts,
            # even inside a transaction of the caller.
            strays = first_parts(event__gt=self.head.seq)
            rows, targets = events_after(self.head.seq)
            if not rows:
                break
            for *row, hash in rows:
                self.check(row, hash, targets.pop(row[0], ()))
            if targets:
                raise BrokenChain(min(targets), NO_EVENT)
            check_reason_words(rows)
        if strays := strays or first_parts(event__lte=start):
            raise BrokenChain(*min(strays))
        self.check_end()

    def check(self, row: list[Any], hash: str, targets: Any) -> None:
        seq, key = row[0], row[-1]
        if seq != self.head.seq + 1:
            raise BrokenChain(self.head.seq + 1, "is missing")
        if key != self.key or key != self.current_key:
            self.check_key(seq, key)
        try:
            right = event_hash(self.head.hash, row, targets)
        except UnknownKey as error:
            raise BrokenChain(
                seq, f"was written with an unknown key ({error}): see AUDIT_OLD_KEYS"
            ) from None
        except (TypeError, ValueError):
            raise BrokenChain(seq, CHANGED) from None
        if right != hash:
            raise BrokenChain(seq, CHANGED)
        if row[KIND] == Event.Kind.AUDIT_PRUNED:
            self.check_anchor(seq, row)
        if self.expected.seq == seq and self.expected.hash != hash:
            raise BrokenChain(seq, WRONG_HASH)
        self.head, self.key = Head(seq, hash), key
        self.events += 1
        self.outcomes += len(targets)

    def check_key(self, seq: int, key: str) -> None:
        """Reject a weaker key after a stronger one.

        Otherwise an attacker with write access, or with a leaked old key, could rewrite
        the trail as if it were older than the current key.
        """
        if self.key and not key:
            raise BrokenChain(seq, "was written without the key")
        if self.current_key and self.key == self.current_key != key:
            raise BrokenChain(seq, "was written with an old key after the current one")
        if self.current_key and not key and self.expected.seq < seq:
            self.unproved = self.unproved or seq

    def check_expected_anchor(self, start: int) -> None:
        """Check an expected head in the archived part, of which only ends are known."""
        seq, hash = self.expected
        if 0 < seq <= start:
            if seq not in self.anchors:
                raise BrokenChain(seq, "is archived: expect a newer head")
            if self.anchors[seq] != hash:
                raise BrokenChain(seq, WRONG_HASH)

    def check_anchor(self, seq: int, row: list[Any]) -> None:
        """Check the anchor that an event about archiving records."""
        detail = json.loads(row[DETAIL])
        self.recorded_anchors.add(detail["last"])
        if self.anchors.get(detail["last"]) != detail["hash"]:
            raise BrokenChain(seq, "records an archived segment with another end")

    def check_end(self) -> None:
        if self.expected.seq > self.head.seq:
            raise BrokenChain(self.head.seq + 1, "is missing: the tail was deleted")
        # Only the last anchor: events that record earlier ones can be archived.
        last = max(self.anchors, default=None)
        if last is not None and last not in self.recorded_anchors:
            raise BrokenChain(last, "was deleted, and no event records its archiving")
        if not self.events and not self.anchors and (evidence := evidence_of_events()):
            raise BrokenChain(
                1, f"is missing: the trail is empty, although there are {evidence}"
            )
        if self.current_key and self.events and self.key != self.current_key:
            raise BrokenChain(self.head.seq, "was not written with AUDIT_KEY")
        if self.unproved:
            raise BrokenChain(self.unproved, WITHOUT_KEY)
        if not triggers_intact():
            raise BrokenChain(
                self.head.seq,
                "is unprotected: database triggers are missing or not ours. Run migrate",
            )


def first_parts(**condition: int) -> list[tuple[int, str]]:
    """Return the first target and the first word of some events, if there are any."""
    return [
        (first, why)
        for model, why in PARTS
        for first in model.objects.filter(**condition)
        .order_by("event")
        .values_list("event", flat=True)[:1]
    ]


def events_after(seq: int) -> tuple[Rows, dict[int, Any]]:
    """Return the next events, and the targets of each."""
    # One event at a time finds the one that the database cannot read.
    for limit in (ROWS_PER_QUERY, 1):
        with suppress(DatabaseError, UnicodeError), transaction.atomic():
            rows = event_rows_after(seq, limit)
            return rows, targets_of_events(seq, rows[-1][0]) if rows else {}
    raise BrokenChain(seq + 1, "cannot be read")


def evidence_of_events() -> str:
    """Name rows in other tables that exist only if events were recorded."""
    if hooks.operations.exist():
        return "operations"
    signed_in = User.objects.exclude(last_login=None).exists()
    return "users who have signed in" if signed_in else ""


def check_reason_words(rows: Rows) -> None:
    """Check the search index, which no hash covers because it is derived from events."""
    indexed = defaultdict(set)
    first, last = rows[0][0], rows[-1][0]
    words = ReasonWord.objects.filter(event__gte=first, event__lte=last)
    for seq, word in words.values_list("event_id", "word"):
        indexed[seq].add(word)
    for row in rows:
        expected = row[REASON] if row[KIND] in KINDS_WITH_REASON else ""
        if reason_words(expected) != indexed[row[0]]:
            raise BrokenChain(row[0], "has wrong words in the search index")


def parse_head(text: str) -> Head:
    """Return a head from its text. Raises ValueError for any other text."""
    if not HEAD.fullmatch(text.strip()):
        raise ValueError(
            f"A head is written as NUMBER:HASH with all of the hash, not {text!r}."
        )
    seq, hash = text.strip().split(":")
    return Head(int(seq), hash)
