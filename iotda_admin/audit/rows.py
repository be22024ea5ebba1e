"""Read rows of the audit trail in the form that is hashed.

The database formats the values, because converting them in Python would take longer
than hashing them.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from iotda_admin.audit.chain import COLUMNS, TARGET_COLUMNS
from iotda_admin.audit.head import Head
from iotda_admin.audit.models import Anchor, Outcome

type Rows = list[tuple[Any, ...]]

# The most rows in memory.
ROWS_PER_QUERY = 2000
CANONICAL_SQL = {
    "sqlite": {
        # A value of another type was not written by us, even if it looks the same.
        "at": "CASE WHEN length(at) = 19 AND typeof(at) = 'text' THEN at || '.000000' ELSE at END",
        # Plain columns would be converted to bool.
        "outside_hours": "CASE outside_hours WHEN 0 THEN 0 WHEN 1 THEN 1 END",
    },
    "postgresql": {
        "at": "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
        "outside_hours": "outside_hours::int",
    },
}

PREVIOUS_HASH = """
    coalesce(
        (SELECT before.hash FROM audit_event before WHERE before.id = audit_event.id - 1),
        (SELECT anchor.hash FROM audit_anchor anchor WHERE anchor.last = audit_event.id - 1),
        ''
    )
"""


@contextmanager
def read_snapshot() -> Iterator[None]:
    """Read the trail as it is now, without a lock.

    Events that are added or archived meanwhile are not seen. Inside a transaction the
    caller is responsible for that.
    """
    db: Any = connection
    if db.in_atomic_block:
        yield
    elif db.vendor == "postgresql":
        with transaction.atomic(), db.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    else:
        db.ensure_connection()
        # By default transactions take the write lock, which would block all writers.
        mode, db.transaction_mode = db.transaction_mode, "DEFERRED"
        try:
            with transaction.atomic():
                yield
        finally:
            db.transaction_mode = mode


def chain_start() -> Head:
    """Return the end of the archived part, after which the trail in the database starts."""
    anchors = Anchor.objects.order_by("-last").values_list("last", "hash")
    return Head(*(anchors.first() or (0, "")))


def event_rows_after(seq: int, limit: int = ROWS_PER_QUERY) -> Rows:
    return event_rows(COLUMNS, f"WHERE id > %s ORDER BY id LIMIT {limit}", [seq])


def event_rows(columns: list[str], condition: str, params: list[int]) -> Rows:
    canonical = CANONICAL_SQL[connection.vendor] | {"previous_hash": PREVIOUS_HASH}
    quote = connection.ops.quote_name
    names = ", ".join(canonical.get(name, quote(name)) for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {names} FROM audit_event {condition}", params)  # noqa: S608
        return list(cursor.fetchall())


def targets_of_events(after: int, last: int) -> dict[int, list[list[str]]]:
    rows = Outcome.objects.filter(event__gt=after, event__lte=last)
    targets = defaultdict(list)
    for seq, *target in rows.order_by("event_id", "id").values_list(
        "event_id", *TARGET_COLUMNS
    ):
        targets[seq].append(target)
    return targets
