"""Check that each index holds exactly the rows of its table.

SQLite checks the whole file. On PostgreSQL the indexes of the audit tables are checked.
"""

from typing import NamedTuple

from django.db import DatabaseError, OperationalError, connection, transaction

from iotda_admin.audit.checks import AUDIT_TABLES, fetch

# Enough to see what happened: an emptied index has an error for each row.
MAX_ERRORS = 20
INDEXES = """
    SELECT t.relname, i.relname, i.oid, pg_get_expr(x.indpred, x.indrelid)
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_class t ON t.oid = x.indrelid JOIN pg_am am ON am.oid = i.relam
    WHERE pg_table_is_visible(t.oid) AND t.relname = ANY(%s)
      AND am.amname = 'btree' AND x.indisvalid ORDER BY 1, 2
"""
# Each column of an index, and the operator that sorts it.
SORT_KEYS = """
    SELECT pg_get_indexdef(x.indexrelid, n::int, true), op.oprname
    FROM pg_index x CROSS JOIN generate_series(1, x.indnkeyatts) n
    JOIN pg_opclass c ON c.oid = x.indclass[n - 1]
    JOIN pg_amop a ON a.amopfamily = c.opcfamily AND a.amopstrategy = 1
     AND a.amoplefttype = c.opcintype AND a.amoprighttype = c.opcintype
    JOIN pg_operator op ON op.oid = a.amopopr
    WHERE x.indexrelid = %s ORDER BY n
"""
# Not executable for most roles, even if the extension exists.
AMCHECK = """
    SELECT quote_ident(n.nspname) || '.bt_index_check' FROM pg_extension e
    JOIN pg_namespace n ON n.oid = e.extnamespace
    JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = 'bt_index_check'
    WHERE e.extname = 'amcheck' AND p.pronargs = 2
      AND has_function_privilege(p.oid, 'EXECUTE')
"""
# The scans to switch off, so that only an index in its order remains, only a partial
# index, or only the table.
BY_ORDER = ("seqscan", "bitmapscan", "sort", "incremental_sort")
BY_CONDITION = ("seqscan", "indexscan", "indexonlyscan")
BY_TABLE = ("indexscan", "indexonlyscan", "bitmapscan")
# With less, a bitmap of a large table has pages instead of rows.
BITMAP_MEMORY = "256MB"


class Index(NamedTuple):
    table: str
    name: str
    oid: int
    condition: str | None


def check_integrity() -> list[str]:
    if connection.vendor == "postgresql":
        indexes = [Index(*row) for row in fetch(INDEXES, [AUDIT_TABLES])]
        amcheck = fetch(AMCHECK)
        return [
            f"Index {index.name} of {index.table} {why}. Find out who wrote to the files "
            f"of the database, then run REINDEX INDEX {index.name}."
            for index in indexes
            if (
                why := run_amcheck(index, amcheck[0][0])
                if amcheck
                else compare_with_table(index)
            )
        ]
    texts = [text for (text,) in fetch(f"PRAGMA integrity_check({MAX_ERRORS})")]
    lines = [line for text in texts for line in text.splitlines()]
    return [
        f"The database is damaged: {line}. Find out who wrote to the file, then run "
        "REINDEX in sqlite3. If that does not help, restore a backup."
        for line in lines
        if line != "ok" and not line.startswith("***")
    ]


def run_amcheck(index: Index, function: str) -> str:
    """Let the extension check the pages of an index, and that it has all rows."""
    try:
        with transaction.atomic():
            fetch(f"SELECT {function}(%s::oid::regclass, true)", [index.oid])
    except OperationalError:
        raise
    except DatabaseError as error:
        return f"is damaged: {str(error).splitlines()[0]}"
    return ""


def compare_with_table(index: Index) -> str:
    """Compare what a scan of the index finds with what a scan of the table finds."""
    keys = fetch(SORT_KEYS, [index.oid])
    row = ", ".join(key for key, _operator in keys)
    order = ", ".join(f"{key} USING {operator}" for key, operator in keys)
    where = f"WHERE {index.condition}" if index.condition else ""
    rows = (
        f"SELECT hashtextextended(ROW({row})::text, 0) AS h FROM {index.table} {where}"  # noqa: S608
    )
    sums = "SELECT count(*), coalesce(sum(h), 0) FROM"
    by_table = f"{sums} ({rows}) x"
    # An index in the same order may be preferred to a partial one that has most rows.
    found = fetch_by(
        index, BY_ORDER, f"{sums} ({rows} ORDER BY {order}) x"
    ) or fetch_by(index, BY_CONDITION, by_table)
    if found is None:
        raise OperationalError(
            f"PostgreSQL does not use the index {index.name} to compare it with its "
            "table. Run CREATE EXTENSION amcheck as its superuser, which compares it"
        )
    with transaction.atomic():
        switch_off(BY_TABLE)
        (held,) = fetch(by_table)
        transaction.set_rollback(True)
    if found == held:
        return ""
    return (
        f"does not hold the rows of its table: {found[0]:,} entries, {held[0]:,} rows"
    )


def fetch_by(
    index: Index, switched_off: tuple[str, ...], query: str
) -> tuple[int, ...] | None:
    """Run a query without these scans; return None if it does not use the index."""
    with transaction.atomic():
        switch_off(switched_off)
        fetch("SELECT set_config('work_mem', %s, true)", [BITMAP_MEMORY])
        plan = " ".join(line for (line,) in fetch(f"EXPLAIN {query}"))
        used = f" using {index.name} " in plan or f"Scan on {index.name} " in plan
        row = fetch(query)[0] if used else None
        # The settings end with the savepoint.
        transaction.set_rollback(True)
    return row


def switch_off(scans: tuple[str, ...]) -> None:
    for scan in scans:
        fetch(f"SELECT set_config('enable_{scan}', 'off', true)")
