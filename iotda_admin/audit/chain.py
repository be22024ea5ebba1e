"""The chain: each event's hash covers the one before it, so none can be changed, removed or slipped in
unseen. With a key that is kept outside the database, nobody who has only the database can forge a new chain.
"""

import hashlib
import hmac
import logging
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Field
from django.utils import timezone

from iotda_admin.audit.canonical import canonical_json, storable
from iotda_admin.audit.models import Event, Outcome, ReasonWord

log = logging.getLogger(__name__)

# Whoever appends holds this lock until the transaction ends: without it, chains fork.
WRITER_LOCK = 0x10D7A
# The head goes to the log every so many events, so that it is kept where the database is not.
LOGGED_EVERY = 1000

FIELDS: list[Field[Any, Any]] = list(Event._meta.concrete_fields)
COLUMNS = [field.attname for field in FIELDS]
LENGTHS = {f.attname: f.max_length for f in FIELDS if f.max_length}
BLANK: dict[str, Any] = {f.attname: None if f.null else "" for f in FIELDS}
# All but the hash itself, in this order.
HASHED_COLUMNS = COLUMNS[:-1]
AT, KIND, REASON = (COLUMNS.index(name) for name in ("at", "kind", "reason"))
OUTSIDE_HOURS, DETAIL = (COLUMNS.index(name) for name in ("outside_hours", "detail"))
# Kinds whose reason is new; the other events of an operation repeat it.
KINDS_WITH_REASON = {
    Event.Kind.OPERATION_ASKED,
    Event.Kind.FAILURE_NOTED,
    Event.Kind.FAILURE_SOLVED,
}
WORD = re.compile(r"\w+")
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")


class EventTarget(NamedTuple):
    """What an event says of one target."""

    id: str
    name: str = ""
    outcome: str = ""
    code: str = ""
    message: str = ""


class NewEvent(NamedTuple):
    """An event that has no place in the chain yet."""

    facts: dict[str, Any]
    targets: Sequence[EventTarget]


class Head(NamedTuple):
    """The end of the chain. Kept elsewhere, it shows whether the tail was cut."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def append_events(drafts: Sequence[NewEvent]) -> None:
    """Add events at the end of the chain, in the transaction of what they tell of.

    Takes the writer lock: nothing that somebody else may be holding is waited for after this.
    """
    with transaction.atomic(savepoint=False):
        lock_chain()
        before = end = chain_head()
        rows, outcomes, words = [], [], []
        for draft in drafts:
            targets = [truncate_target(target) for target in draft.targets]
            row = [*event_row(end.seq + 1, draft.facts)]
            end = Head(end.seq + 1, event_hash(end.hash, canonical_row(row), targets))
            row[AT] = connection.ops.adapt_datetimefield_value(row[AT])
            rows.append((*row, end.hash))
            outcomes += [(end.seq, *target) for target in targets]
            if draft.facts["kind"] in KINDS_WITH_REASON:
                words += [(word, end.seq) for word in reason_words(row[REASON])]
        insert_rows(Event, COLUMNS, rows)
        insert_rows(
            Outcome,
            ["event_id", "target_id", "target_name", "outcome", "code", "message"],
            outcomes,
        )
        insert_rows(ReasonWord, ["word", "event_id"], words)
        if before.seq // LOGGED_EVERY < end.seq // LOGGED_EVERY:
            transaction.on_commit(lambda: log.info("Audit head %s", end))


def lock_chain() -> None:
    """SQLite's transactions are begun as writers already."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WRITER_LOCK])


def chain_head() -> Head:
    # An archived part is never the last one: the event that tells of it comes after it. Past the ORM: of a
    # large operation this is asked for with every few calls.
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, hash FROM audit_event ORDER BY id DESC LIMIT 1")
        return Head(*(cursor.fetchone() or (0, "")))


def log_head() -> None:
    """Run by the worker now and then: a quiet trail's head is kept elsewhere, too."""
    log.info("Audit head %s", chain_head())


def event_row(seq: int, facts: dict[str, Any]) -> Iterable[Any]:
    """One row, without its hash, as the database gets it."""
    now = timezone.now()
    own = {
        "id": seq,
        "at": now,
        # By whoever it was: somebody who guesses has no name yet.
        "outside_hours": facts.get("source") != "worker"
        and is_outside_working_hours(now),
        "key_id": key_id(settings.AUDIT_KEY),
        "detail": canonical_json(storable(facts.get("detail") or {})),
    }
    row = BLANK | facts | own
    for name in HASHED_COLUMNS:
        value = row[name]
        yield (
            storable(value)[: LENGTHS.get(name)]
            if isinstance(value, str) and name != "detail"
            else value
        )


def truncate_target(target: EventTarget) -> EventTarget:
    id, name, outcome, code, message = (storable(each) for each in target)
    return EventTarget(id[:128], name[:256], outcome[:10], code[:64], message[:512])


def canonical_row(row: Sequence[Any]) -> list[Any]:
    """The row as it is hashed: the same from every database."""
    at = row[AT].astimezone(UTC)
    return [
        f"{at:%Y-%m-%d %H:%M:%S.%f}"
        if n == AT
        else int(value)
        if n == OUTSIDE_HOURS
        else value
        for n, value in enumerate(row)
    ]


def event_hash(
    before: str, row: Sequence[Any], targets: Sequence[Sequence[str]]
) -> str:
    """The event's own hash: over the one before it, all of its columns, and what it says of each target."""
    said = f"{before}\n{canonical_json(row)}\n{canonical_json(targets) if targets else ''}".encode()
    key = key_with_id(row[-1])
    return (
        hmac.digest(key, said, "sha256").hex()
        if key
        else hashlib.sha256(said).hexdigest()
    )


class UnknownKey(Exception):
    """An event was hashed with a key that is not among ours."""


def key_with_id(id: str) -> bytes:
    if not id:
        return b""
    for key in (settings.AUDIT_KEY, *settings.AUDIT_OLD_KEYS):
        if key_id(key) == id:
            return str(key).encode()
    raise UnknownKey(id)


@cache
def key_id(key: str) -> str:
    """Says which key it was, and nothing of the key itself."""
    return (
        hashlib.sha256(f"iotda-admin audit key {key}".encode()).hexdigest()[:8]
        if key
        else ""
    )


def is_outside_working_hours(at: datetime) -> bool:
    days, start, end = settings.WORKING_HOURS
    local = at.astimezone(ZoneInfo(settings.TIME_ZONE))
    return local.weekday() not in days or not start <= local.time() < end


def reason_words(text: str) -> set[str]:
    """The words by which a text is found. Chinese and its neighbours put no space between theirs: there,
    each pair of characters counts as one, and the last character, with which no pair begins."""
    if text.isascii():
        return {word[:40] for word in WORD.findall(text.casefold())}
    words: set[str] = set()
    for run in WORD.findall(text.casefold()):
        words |= {word[:40] for word in CJK.sub(" ", run).split()}
        for together in CJK.findall(run):
            words |= {together[n : n + 2] for n in range(len(together))}
    return words


def insert_rows(
    model: Any, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Past the ORM, whose objects would cost more than all else."""
    if not rows:
        return
    quote = connection.ops.quote_name
    columns, marks = (
        ", ".join(quote(name) for name in names),
        ", ".join(["%s"] * len(names)),
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({marks})",  # noqa: S608
            rows,
        )
        # A trigger or a rule of somebody else's can leave rows out without a word.
        if cursor.rowcount != len(rows):
            raise DatabaseError(
                f"{model._meta.db_table}: {len(rows)} rows were added, {cursor.rowcount} arrived"
            )
