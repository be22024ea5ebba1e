"""Check that the audit tables have the columns, indexes and triggers of this version.

``expected_*.txt`` lists what a migrated database has, one part on a line. A test
compares them, and says how to write them after a migration or for a new trigger.
"""

import json
from pathlib import Path

from django.db import connection

from iotda_admin.audit.checks import AUDIT_TABLES, fetch

SQLITE_SCHEMA = """
    SELECT type || ' ' || name, coalesce(sql, 'by SQLite') FROM sqlite_master
    WHERE lower(tbl_name) IN (SELECT value FROM json_each(%s))
    OR lower(name) IN (SELECT value FROM json_each(%s))
"""
# All that changes which rows a query finds, or which rows can be changed.
POSTGRESQL_SCHEMA = """
    WITH audit AS (
        SELECT c.*, c.oid AS id FROM pg_class c WHERE pg_table_is_visible(c.oid)
          AND c.relname = ANY(%s) AND c.relkind NOT IN ('i', 'I')
    )
    SELECT 'table ' || relname, 'kind ' || relkind::text || relpersistence::text
      || CASE WHEN relrowsecurity OR relforcerowsecurity THEN ', row security' ELSE '' END
    FROM audit
    UNION ALL SELECT 'rule ' || rulename, pg_get_ruledef(r.oid)
    FROM pg_rewrite r JOIN audit ON id = ev_class
    UNION ALL SELECT 'constraint ' || conname, pg_get_constraintdef(c.oid)
    FROM pg_constraint c JOIN audit ON id = conrelid WHERE contype NOT IN ('n', 't')
    UNION ALL SELECT 'inheritance ' || inhrelid::regclass, 'of ' || inhparent::regclass
    FROM pg_inherits JOIN audit ON id IN (inhparent, inhrelid)
    UNION ALL SELECT 'column ' || relname || '.' || attname,
      format_type(atttypid, atttypmod)
      || CASE WHEN attcollation <> typcollation THEN ' COLLATE ' || collname ELSE '' END
      || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
      || CASE WHEN attidentity = '' THEN '' ELSE ', identity ' || attidentity::text END
      || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '')
    FROM audit JOIN pg_attribute a ON attrelid = id JOIN pg_type y ON y.oid = atttypid
    LEFT JOIN pg_collation o ON o.oid = attcollation
    LEFT JOIN pg_attrdef ON adrelid = id AND adnum = attnum
    WHERE attnum > 0 AND NOT attisdropped
    UNION ALL SELECT 'index ' || i.relname, pg_get_indexdef(indexrelid, 0, true)
      || CASE WHEN indisvalid AND indisready AND indislive THEN '' ELSE ', invalid' END
    FROM audit JOIN pg_index ON indrelid = id JOIN pg_class i ON i.oid = indexrelid
    UNION ALL SELECT 'trigger ' || tgname || ' of ' || relname,
      pg_get_triggerdef(t.oid, true) || ': ' || prosrc
      || CASE WHEN tgenabled IN ('O', 'A') THEN '' ELSE ', disabled' END
    FROM audit JOIN pg_trigger t ON tgrelid = id JOIN pg_proc p ON p.oid = tgfoid
    WHERE NOT tgisinternal
    UNION ALL SELECT 'setting session_replication_role',
      current_setting('session_replication_role')
"""
EXPECTED = Path(__file__).parent


def check_schema() -> list[str]:
    expected, found = expected_schema(), found_schema()
    return [
        f"{part.capitalize()} {difference(part, expected.get(part), found.get(part))}"
        for part in sorted(expected.keys() | found.keys())
        if expected.get(part) != found.get(part)
    ]


def expected_schema() -> dict[str, str]:
    lines = (EXPECTED / f"expected_{connection.vendor}.txt").read_text().splitlines()
    return dict(line.split(" = ", 1) for line in lines)


def found_schema() -> dict[str, str]:
    """Return each part of the schema by its kind and name, on one line."""
    if connection.vendor == "postgresql":
        rows = fetch(POSTGRESQL_SCHEMA, [AUDIT_TABLES])
    else:
        rows = fetch(SQLITE_SCHEMA, [json.dumps(AUDIT_TABLES)] * 2)
    return {part: " ".join(text.split()) for part, text in rows}


def difference(part: str, expected: str | None, found: str | None) -> str:
    """Return what is wrong with a part of the schema, and what to do."""
    if expected is None:
        return (
            f"is not part of this version: {found}. Find out who made it, and drop it."
        )
    if found is None:
        return f"is missing. Find out who dropped it, then {advice(part, expected)}"
    more, less = only_in(found, expected), only_in(expected, found)
    return (
        f"was changed: it has {more}, not {less}. Find out who changed it, then "
        f"{'drop it and ' * part.startswith('index')}{advice(part, expected)}"
    )


def only_in(definition: str, other: str) -> str:
    """Return what only one of two definitions has, such as one column of a table."""
    pieces = [
        piece for piece in definition.split(", ") if piece not in other.split(", ")
    ]
    return ", ".join(pieces) or definition


def advice(part: str, expected: str) -> str:
    match part.split()[0]:
        case "index":
            return f"create it: {expected};"
        case "trigger":
            return "run manage.py migrate, which creates it."
        case "setting":
            return f"set it to {expected} for the database and for the role."
    return "restore a backup. If the database is of another version, run manage.py migrate."
