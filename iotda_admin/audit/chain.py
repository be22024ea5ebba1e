"""The hash chain of the audit trail.

The hash of each event covers the hash of the event before it, so changing, deleting or
inserting an event breaks the chain. With AUDIT_KEY, which is kept outside the database,
write access to the database is not enough to forge a new chain.
"""

import hashlib
import hmac
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import chain, repeat
from operator import le
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Field, Model
from django.utils import timezone

from iotda_admin.audit.canonical import canonical_json, storable
from iotda_admin.audit.head import Head, chain_head, remember_head
from iotda_admin.audit.models import Event, Outcome, ReasonWord
from iotda_admin.audit.search.words import reason_words
from iotda_admin.core.bulk_sql import insert_statement
from iotda_admin.core.database import note_commit

log = logging.getLogger(__name__)

# Held until the end of a transaction that appends, because two appends to one head
# would fork the chain.
WRITER_LOCK = 0x10D7A
# The head is logged once in this many events, to keep it outside the database.
LOGGED_EVERY = 1000

FIELDS = Event._meta.concrete_fields
COLUMNS = [field.attname for field in FIELDS]
BLANK = {field.attname: field.get_default() for field in FIELDS}
# All columns but the hash, in the order in which they are hashed.
HASHED_COLUMNS = COLUMNS[:-1]
AT, KIND, REASON, OUTSIDE_HOURS, DETAIL = map(
    COLUMNS.index, ("at", "kind", "reason", "outside_hours", "detail")
)
# The columns of a target, without its own id and that of its event.
TARGET_FIELDS = Outcome._meta.concrete_fields[2:]
TARGET_COLUMNS = [field.attname for field in TARGET_FIELDS]
TARGET_LENGTHS = [field.max_length or 0 for field in TARGET_FIELDS]
BLANK_TARGET = [""] * len(TARGET_FIELDS)
# Kinds that introduce a reason; the other events of an operation repeat it.
KINDS_WITH_REASON = {
    Event.Kind.OPERATION_REQUESTED,
    Event.Kind.FAILURE_NOTED,
    Event.Kind.FAILURE_RESOLVED,
}


class NewEvent(NamedTuple):
    """An event that is not in the chain yet."""

    columns: dict[str, Any]
    targets: Sequence[tuple[str, ...]]


def append_events(events: Sequence[NewEvent]) -> None:
    """Append events to the chain, inside the transaction of the change they record.

    Takes the writer lock. Take no other lock afterwards, because that could deadlock.
    """
    with transaction.atomic(savepoint=False):
        lock_chain()
        transaction.on_commit(note_commit)
        before = end = chain_head()
        rows, outcomes, words = [], [], []
        for event in events:
            targets = [stored_target(target) for target in event.targets]
            row = event_row(end.seq + 1, event.columns)
            end = Head(end.seq + 1, event_hash(end.hash, canonical_row(row), targets))
            row[AT] = connection.ops.adapt_datetimefield_value(row[AT])
            rows.append((*row, end.hash))
            outcomes += [(end.seq, *target) for target in targets]
            if event.columns["kind"] in KINDS_WITH_REASON:
                words += [(word, end.seq) for word in reason_words(row[REASON])]
        insert_event_rows(Event, COLUMNS, rows)
        insert_event_rows(Outcome, ["event_id", *TARGET_COLUMNS], outcomes)
        insert_event_rows(ReasonWord, ["word", "event_id"], words)
        remember_head(before, end)
        if before.seq // LOGGED_EVERY < end.seq // LOGGED_EVERY:
            transaction.on_commit(lambda: log.info("Audit head %s", end))


def lock_chain() -> None:
    """Lock the end of the chain. On SQLite the transaction already has a write lock."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WRITER_LOCK])


def event_row(seq: int, columns: dict[str, Any]) -> list[Any]:
    """Return the columns of an event to insert, without its hash."""
    now = timezone.now()
    row = BLANK | columns
    row |= {
        "id": seq,
        "at": now,
        # Failed logins count too, although they have no user.
        "outside_hours": columns.get("source") != "worker"
        and is_outside_working_hours(now),
        "key_id": key_id(settings.AUDIT_KEY),
        "detail": canonical_json(storable(columns.get("detail") or {})),
    }
    return [stored_value(row[field.attname], field) for field in FIELDS[:-1]]


def stored_value(value: Any, field: "Field[Any, Any]") -> Any:
    """Return a value as its column can store it: a text is shortened."""
    return storable(value)[: field.max_length] if isinstance(value, str) else value


def stored_target(target: Sequence[str]) -> list[str]:
    """Return all columns of a target, of which the last may be missing."""
    if "".join(target).isprintable() and all(map(le, map(len, target), TARGET_LENGTHS)):
        return [*map(str, target), *BLANK_TARGET[len(target) :]]  # as most are
    return list(map(stored_value, chain(target, repeat("")), TARGET_FIELDS))


def canonical_row(row: Sequence[Any]) -> list[Any]:
    """Return the columns as they are hashed, the same on every database."""
    canonical = list(row)
    canonical[AT] = f"{row[AT].astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
    canonical[OUTSIDE_HOURS] = int(row[OUTSIDE_HOURS])
    return canonical


def event_hash(before: str, row: Sequence[Any], targets: Sequence[Any]) -> str:
    """Return the hash over the previous hash, the columns and the targets."""
    data = f"{before}\n{canonical_json(row)}\n{canonical_json(targets) if targets else ''}".encode()
    key = key_with_id(row[-1])
    return (
        hmac.digest(key, data, "sha256").hex()
        if key
        else hashlib.sha256(data).hexdigest()
    )


class UnknownKey(Exception):
    """An event was hashed with a key that the settings do not have."""


def key_with_id(id: str) -> bytes:
    for key in ("", settings.AUDIT_KEY, *settings.AUDIT_OLD_KEYS):
        if key_id(key) == id:
            return str(key).encode()
    raise UnknownKey(id)


@cache
def key_id(key: str) -> str:
    """Return an id for a key that does not reveal the key."""
    digest = hashlib.sha256(f"iotda-admin audit key {key}".encode()).hexdigest()
    return digest[:8] if key else ""


def is_outside_working_hours(at: datetime) -> bool:
    days, start, end = settings.WORKING_HOURS
    local = at.astimezone(ZoneInfo(settings.TIME_ZONE))
    return local.weekday() not in days or not start <= local.time() < end


def insert_event_rows(model: type[Model], columns: list[str], rows: list[Any]) -> None:
    """Insert rows without creating model objects, which would take most of the time."""
    if not rows:
        return
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.executemany(insert_statement(table, columns), rows)
        # A foreign trigger or rule can drop rows without an error.
        if cursor.rowcount != len(rows):
            raise DatabaseError(
                f"{table}: inserted {cursor.rowcount} of {len(rows)} rows"
            )
