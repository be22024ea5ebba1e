"""Read rows of the audit trail in the form that is hashed.

The database formats the values, because converting them in Python would take longer
than hashing them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from iotda_admin.audit.chain import HASHED_COLUMNS, Head
from iotda_admin.audit.models import Anchor

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


def event_rows_after(seq: int, limit: int = ROWS_PER_QUERY) -> list[tuple[Any, ...]]:
    columns = [*HASHED_COLUMNS, "hash"]
    return event_rows(columns, f"WHERE id > %s ORDER BY id LIMIT {limit}", seq)


def event_rows(
    columns: Sequence[str], condition: str, *params: Any
) -> list[tuple[Any, ...]]:
    canonical = CANONICAL_SQL[connection.vendor] | {"previous_hash": PREVIOUS_HASH}
    quote = connection.ops.quote_name
    names = ", ".join(canonical.get(name, quote(name)) for name in columns)
    return query(f"SELECT {names} FROM audit_event {condition}", *params)  # noqa: S608


def words_of_events(first: int, last: int) -> list[tuple[Any, ...]]:
    sql = "SELECT event_id, word FROM audit_reasonword WHERE event_id BETWEEN %s AND %s"
    return query(sql, first, last)


def targets_of_events(after: int, last: int) -> dict[int, list[Sequence[str]]]:
    sql = """
        SELECT event_id, target_id, target_name, outcome, code, message FROM audit_outcome
        WHERE event_id > %s AND event_id <= %s ORDER BY event_id, id
    """
    targets: dict[int, list[Sequence[str]]] = defaultdict(list)
    for seq, *target in query(sql, after, last):
        targets[seq].append(target)
    return targets


def query(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
