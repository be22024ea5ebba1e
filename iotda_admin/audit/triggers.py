"""Database triggers that make the tables of the audit trail append-only.

Installed after each ``migrate`` and not by a migration, because on SQLite a later
change of a table drops its triggers.
"""

from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction

EVENT, OUTCOME, WORD, ANCHOR = (
    "audit_event",
    "audit_outcome",
    "audit_reasonword",
    "audit_anchor",
)
ARCHIVED = "<= (SELECT coalesce(max(last), 0) FROM audit_anchor)"
# The rows of each table that may be deleted: those before an anchor. Anchors stay.
DELETABLE = {
    EVENT: f"OLD.id {ARCHIVED}",
    OUTCOME: f"OLD.event_id {ARCHIVED}",
    WORD: f"OLD.event_id {ARCHIVED}",
    ANCHOR: "1 = 0",
}
PRIMARY_KEYS = {EVENT: "id", OUTCOME: "id", WORD: "id", ANCHOR: "last"}
MESSAGE = "The audit trail is append-only."

# The definition of each trigger on PostgreSQL, the body of its function, and whether it
# is enabled.
POSTGRESQL_TRIGGERS = """
    SELECT pg_get_triggerdef(made.oid, true), called.prosrc, made.tgenabled IN ('O', 'A')
    FROM pg_trigger made JOIN pg_class on_it ON on_it.oid = made.tgrelid
    JOIN pg_proc called ON called.oid = made.tgfoid
    WHERE NOT made.tgisinternal AND pg_table_is_visible(on_it.oid) AND on_it.relname IN (%s, %s, %s, %s)
"""
SQLITE_TRIGGERS = """
    SELECT sql FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) IN (%s, %s, %s, %s)
"""
CREATE_FUNCTION = (
    "CREATE OR REPLACE FUNCTION {name} RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
)
REFUSE = (
    f"RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation';"
)


def install_triggers(**_: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for sql in install_statements():
            cursor.execute(sql)


def triggers_intact() -> bool:
    """Return whether the tables have exactly our triggers.

    A foreign trigger could drop new rows without an error.
    """
    expected: set[tuple[Any, ...]]
    if connection.vendor == "postgresql":
        sql = POSTGRESQL_TRIGGERS
        expected = {(trigger, body, True) for trigger, body in postgresql_triggers()}
    else:
        sql = SQLITE_TRIGGERS
        expected = {(trigger,) for trigger in sqlite_triggers().values()}
    with connection.cursor() as cursor:
        cursor.execute(sql, list(DELETABLE))
        return expected == set(cursor.fetchall())


def trigger_actions() -> list[str]:
    # SQLite has no TRUNCATE, but its REPLACE deletes rows without firing DELETE triggers.
    last = "truncate" if connection.vendor == "postgresql" else "insert"
    return ["update", "delete", last]


def install_statements() -> Iterator[str]:
    if connection.vendor == "postgresql":
        for trigger, body in postgresql_triggers():
            yield CREATE_FUNCTION.format(name=trigger.rpartition(" ")[2], body=body)
            yield trigger.replace("CREATE", "CREATE OR REPLACE", 1)
    else:
        for name, trigger in sqlite_triggers().items():
            # A trigger of this name can be an old or a foreign one.
            yield f"DROP TRIGGER IF EXISTS {name}"
            yield trigger


def sqlite_triggers() -> dict[str, str]:
    """Return the statement of each trigger, by name, as SQLite stores it."""
    refuse = f"SELECT RAISE(ABORT, '{MESSAGE}')"
    return {
        f"{table}_{action}": f"CREATE TRIGGER {table}_{action} BEFORE {action} ON {table}"
        f" {sqlite_condition(table, action)} BEGIN {refuse}; END"
        for table in DELETABLE
        for action in trigger_actions()
    }


def sqlite_condition(table: str, action: str) -> str:
    match action:
        case "delete":
            return f"WHEN NOT ({DELETABLE[table]})"
        case "insert":
            # The rowid is unique too, even if the primary key is another column.
            taken = [
                f"EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})"  # noqa: S608
                for key in (PRIMARY_KEYS[table], "rowid")
            ]
            return f"WHEN {' OR '.join(taken)}"
    return ""


def postgresql_triggers() -> Iterator[tuple[str, str]]:
    """Yield each trigger as PostgreSQL prints it, with the body of its function."""
    for table, deletable in DELETABLE.items():
        for action in trigger_actions():
            each = "STATEMENT" if action == "truncate" else "ROW"
            function, allowed = "audit_refuse", ""
            if action == "delete":
                function = f"{table}_refuse"
                allowed = f"IF {deletable} THEN RETURN OLD; END IF; "
            trigger = (
                f"CREATE TRIGGER {table}_{action} BEFORE {action.upper()} ON {table}"
                f" FOR EACH {each} EXECUTE FUNCTION {function}()"
            )
            yield trigger, f" BEGIN {allowed}{REFUSE} END "
