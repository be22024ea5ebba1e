"""The number of devices of each resource space, node type and status.

Triggers keep them, so that each kind of write does, in the transaction of the write. On
SQLite, which has one writer, a row is updated. On PostgreSQL a row is added for each
change, because writers of the same row would wait for each other, and could deadlock; a
number is the sum of its rows, and the worker and each sync replace them by the sum.

Made after each ``migrate``: on SQLite a later change of the table drops its triggers.
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from django.db import connection, transaction

from devices.models import Device

log = logging.getLogger(__name__)

TABLE = Device._meta.db_table
COUNTS = "devices_counts"
COLUMNS = ("app_id", "node_type", "status")
LISTED = ", ".join(COLUMNS)
# On PostgreSQL: more rows than this are replaced by their sums.
ROWS_KEPT = 1000
# Two transactions that repair would do so twice. Any number that nothing else locks.
LOCK = 7_240_913


def values_of(row: str) -> str:
    return ", ".join(f"{row}.{column}" for column in COLUMNS)


IS_CHANGED = f"({values_of('OLD')}) <> ({values_of('NEW')})"

# --- SQLite ---------------------------------------------------------------------------
MAKE_SQLITE_TABLE = f"""
    CREATE TABLE IF NOT EXISTS {COUNTS} (
        {", ".join(f"{column} text NOT NULL" for column in COLUMNS)},
        number bigint NOT NULL, PRIMARY KEY ({LISTED})
    ) WITHOUT ROWID
"""
ON_CONFLICT = f"ON CONFLICT ({LISTED}) DO UPDATE SET number = number + excluded.number"
ADD = f"INSERT INTO {COUNTS} VALUES ({values_of('NEW')}, 1) {ON_CONFLICT};"  # noqa: S608
REMOVE = f"INSERT INTO {COUNTS} VALUES ({values_of('OLD')}, -1) {ON_CONFLICT};"  # noqa: S608
SQLITE_TRIGGERS = {
    f"{COUNTS}_{name}": f"CREATE TRIGGER {COUNTS}_{name} AFTER {event} BEGIN {act} END"
    for name, event, act in (
        ("insert", f"INSERT ON {TABLE}", ADD),
        ("delete", f"DELETE ON {TABLE}", REMOVE),
        (
            "update",
            f"UPDATE OF {LISTED} ON {TABLE} WHEN {IS_CHANGED}",
            f"{REMOVE} {ADD}",
        ),
    )
}

# --- PostgreSQL -----------------------------------------------------------------------
MAKE_POSTGRESQL_TABLE = f"""
    CREATE TABLE IF NOT EXISTS {COUNTS} (
        {", ".join(f"{column} text NOT NULL" for column in COLUMNS)},
        number bigint NOT NULL
    )
"""
COUNT_ROWS = f"INSERT INTO {COUNTS} SELECT {LISTED}, {{}}count(*) FROM touched GROUP BY {LISTED};"  # noqa: S608
# A change of many rows is one statement, but most of them change no status: only those
# that do cost something.
EVENTS = {
    "insert": (
        "INSERT",
        "REFERENCING NEW TABLE AS touched FOR EACH STATEMENT",
        COUNT_ROWS.format(""),
    ),
    "delete": (
        "DELETE",
        "REFERENCING OLD TABLE AS touched FOR EACH STATEMENT",
        COUNT_ROWS.format("-"),
    ),
    "update": (
        f"UPDATE OF {LISTED}",
        f"FOR EACH ROW WHEN ({IS_CHANGED})",
        f"INSERT INTO {COUNTS} VALUES ({values_of('OLD')}, -1);"  # noqa: S608
        f"INSERT INTO {COUNTS} VALUES ({values_of('NEW')}, 1);",
    ),
    "truncate": ("TRUNCATE", "FOR EACH STATEMENT", f"DELETE FROM {COUNTS};"),  # noqa: S608
}
POSTGRESQL_TRIGGERS = [
    sql
    for name, (event, each, act) in EVENTS.items()
    for sql in (
        f"CREATE OR REPLACE FUNCTION {COUNTS}_{name}() RETURNS trigger"
        f" LANGUAGE plpgsql AS $$ BEGIN {act} RETURN NULL; END $$",
        f"CREATE OR REPLACE TRIGGER {COUNTS}_{name} AFTER {event} ON {TABLE}"
        f" {each} EXECUTE FUNCTION {COUNTS}_{name}()",
    )
]
SUM_UP = f"""
    WITH gone AS (DELETE FROM {COUNTS} RETURNING {LISTED}, number)
    INSERT INTO {COUNTS} SELECT {LISTED}, sum(number) FROM gone
    GROUP BY {LISTED} HAVING sum(number) <> 0
"""  # noqa: S608

# One statement, which sees the rows and their counts at the same moment.
DIFFERENCES = f"""
    SELECT {LISTED}, sum(number) FROM (
        SELECT {LISTED}, count(*) AS number FROM {TABLE} GROUP BY {LISTED}
        UNION ALL SELECT {LISTED}, -number FROM {COUNTS}
    ) AS compared WHERE true GROUP BY {LISTED} HAVING sum(number) <> 0
"""  # noqa: S608
REPAIR = f"INSERT INTO {COUNTS} {DIFFERENCES}"


def count_statuses(spaces: Collection[str] | None) -> Counter[str]:
    """Return how many devices have each status, in these resource spaces or in all."""
    where, values = narrow({}, spaces)
    sql = f"SELECT status, sum(number) FROM {COUNTS} WHERE {where} GROUP BY status"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return Counter({status: int(number) for status, number in cursor if number})


def count_kept(equal: Mapping[str, str], spaces: Collection[str] | None) -> int:
    """Return how many devices have these values of the columns that are counted."""
    where, values = narrow(equal, spaces)
    sql = f"SELECT coalesce(sum(number), 0) FROM {COUNTS} WHERE {where}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.fetchone()[0])


def narrow(
    equal: Mapping[str, str], spaces: Collection[str] | None
) -> tuple[str, list[str]]:
    """Return the SQL of these conditions, and its parameters."""
    parts = [f"{column} = %s" for column in equal]
    values = [*equal.values(), *sorted(spaces or ())]
    if spaces is not None:
        marks = ", ".join(["%s"] * len(spaces)) or "NULL"
        parts.append(f"app_id IN ({marks})")
    return " AND ".join(parts) or "1 = 1", values


def install_counts(**_: Any) -> None:
    """Make the table and its triggers, unless they are there, and count all rows."""
    with transaction.atomic(), connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, TABLE)
        if not {column.name for column in columns} >= {*COLUMNS}:
            return
        if connection.vendor == "postgresql":
            cursor.execute(MAKE_POSTGRESQL_TABLE)
            for sql in POSTGRESQL_TRIGGERS:
                cursor.execute(sql)
        else:
            cursor.execute(MAKE_SQLITE_TABLE)
            for name, sql in SQLITE_TRIGGERS.items():
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
                cursor.execute(sql)
        repair(cursor)


def repair(cursor: Any) -> int:
    """Correct the counts that differ from the rows; return how many did."""
    if connection.vendor == "postgresql":
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute(REPAIR)
    else:
        cursor.execute(f"{REPAIR} {ON_CONFLICT}")
    return max(0, int(cursor.rowcount))


def repair_counts() -> None:
    """Compare the counts with the rows; the worker calls this."""
    with connection.cursor() as cursor:
        # On SQLite nobody else could write while all devices are counted by a write.
        cursor.execute(DIFFERENCES)
        if cursor.fetchone() is None:
            return
    with transaction.atomic(), connection.cursor() as cursor:
        wrong = repair(cursor)
    if wrong:
        log.error("%d counts of devices were wrong. They are corrected.", wrong)


def sum_up_counts() -> None:
    """Replace the rows that changes have added by their sums.

    A sync calls this after each page, and the worker each minute.
    """
    if connection.vendor != "postgresql":
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {COUNTS}")  # noqa: S608
        if cursor.fetchone()[0] > ROWS_KEPT:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            cursor.execute(SUM_UP)
