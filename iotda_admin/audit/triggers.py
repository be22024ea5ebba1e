"""The database itself refuses to change the trail, whoever asks: triggers on every table of it.

Made after each `migrate`, not by a migration: on SQLite a later change of a table drops its triggers.
"""

from typing import Any

from django.db import connection, transaction

EVENT, OUTCOME, WORD, ANCHOR = (
    "audit_event",
    "audit_outcome",
    "audit_reasonword",
    "audit_anchor",
)
# What of each table may go: only what an anchor stands for. An anchor itself stays.
DELETABLE = {
    EVENT: "OLD.id <= (SELECT coalesce(max(last), 0) FROM audit_anchor)",
    OUTCOME: "OLD.event_id <= (SELECT coalesce(max(last), 0) FROM audit_anchor)",
    WORD: "OLD.event_id <= (SELECT coalesce(max(last), 0) FROM audit_anchor)",
    ANCHOR: "1 = 0",
}
PRIMARY_KEYS = {EVENT: "id", OUTCOME: "id", WORD: "id", ANCHOR: "last"}
SAYS = "The audit trail is append-only."

# A trigger of PostgreSQL as it was made, what it calls, and whether it is switched on.
FOUND = """
    SELECT pg_get_triggerdef(made.oid, true), called.prosrc, made.tgenabled IN ('O', 'A')
    FROM pg_trigger made JOIN pg_class on_it ON on_it.oid = made.tgrelid
    JOIN pg_proc called ON called.oid = made.tgfoid
    WHERE NOT made.tgisinternal AND pg_table_is_visible(on_it.oid) AND on_it.relname IN (%s, %s, %s, %s)
"""


def install_triggers(**_: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for sql in making():
            cursor.execute(sql)


def triggers_intact() -> bool:
    """Whether on its tables there are all of our triggers, as we made them, and no others: somebody else's
    could leave out rows without a word."""
    wanted: set[tuple[Any, ...]]
    if connection.vendor == "postgresql":
        wanted = {(made, body, True) for made, body in postgresql()}
        sql = FOUND
    else:
        wanted = {(made,) for made in sqlite().values()}
        sql = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) IN (%s, %s, %s, %s)"
    with connection.cursor() as cursor:
        cursor.execute(sql, list(DELETABLE))
        return wanted == set(cursor.fetchall())


def trigger_actions() -> list[str]:
    # SQLite has no TRUNCATE; but what REPLACE takes away there, it asks no trigger of deletion about.
    return [
        "update",
        "delete",
        "truncate" if connection.vendor == "postgresql" else "insert",
    ]


def making() -> list[str]:
    if connection.vendor == "postgresql":
        called = dict(map(calling, postgresql()))
        functions = [
            FUNCTION.format(name=name, body=body) for name, body in called.items()
        ]
        return [
            *functions,
            *(
                made.replace("CREATE", "CREATE OR REPLACE", 1)
                for made, _body in postgresql()
            ),
        ]
    # One of that name may be from before, or somebody else's.
    return [
        sql
        for name, made in sqlite().items()
        for sql in (f"DROP TRIGGER IF EXISTS {name}", made)
    ]


def sqlite() -> dict[str, str]:
    """By name, as SQLite keeps them."""
    trigger = "CREATE TRIGGER {table}_{action} BEFORE {action} ON {table} {when} BEGIN {refuse}; END"
    refuse = f"SELECT RAISE(ABORT, '{SAYS}')"
    return {
        f"{table}_{action}": trigger.format(
            table=table, action=action, when=condition(table, action), refuse=refuse
        )
        for table in DELETABLE
        for action in trigger_actions()
    }


def condition(table: str, action: str) -> str:
    match action:
        case "delete":
            return f"WHEN NOT ({DELETABLE[table]})"
        case "insert":
            # The rowid is unique as well, even where the key is another column.
            taken = "EXISTS (SELECT 1 FROM {0} WHERE {1} = NEW.{1})"
            return f"WHEN {' OR '.join(taken.format(table, key) for key in (PRIMARY_KEYS[table], 'rowid'))}"
    return ""


FUNCTION = (
    "CREATE OR REPLACE FUNCTION {name} RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
)
REFUSE = f"RAISE EXCEPTION '{SAYS}' USING ERRCODE = 'integrity_constraint_violation';"


def postgresql() -> list[tuple[str, str]]:
    """Each trigger as PostgreSQL spells it, and the body of its function."""
    trigger = (
        "CREATE TRIGGER {table}_{action} BEFORE {event} ON {table}"
        " FOR EACH {each} EXECUTE FUNCTION {call}()"
    )
    return [
        (
            trigger.format(
                table=table,
                action=action,
                event=action.upper(),
                each="STATEMENT" if action == "truncate" else "ROW",
                call=f"{table}_refuse" if action == "delete" else "audit_refuse",
            ),
            f" BEGIN IF {archived} THEN RETURN OLD; END IF; {REFUSE} END "
            if action == "delete"
            else f" BEGIN {REFUSE} END ",
        )
        for table, archived in DELETABLE.items()
        for action in ("update", "delete", "truncate")
    ]


def calling(trigger: tuple[str, str]) -> tuple[str, str]:
    """The function that it calls, and its body."""
    made, body = trigger
    return made.rpartition(" ")[2], body
