"""The database itself refuses to change the trail, whoever asks: triggers on every table of it.

Made after each `migrate`, not by a migration: on SQLite a later change of a table drops its triggers.
"""

from typing import Any

from django.db import connection

EVENT, OUTCOME, ANCHOR = "audit_event", "audit_outcome", "audit_anchor"
# What of each table may go: only what an anchor stands for. An anchor itself stays.
ARCHIVED = {
    EVENT: "OLD.id <= (SELECT coalesce(max(last), 0) FROM audit_anchor)",
    OUTCOME: "OLD.event_id <= (SELECT coalesce(max(last), 0) FROM audit_anchor)",
    ANCHOR: "1 = 0",
}
SAYS = "The audit trail is append-only."


def install(**_: Any) -> None:
    for sql in making():
        with connection.cursor() as cursor:
            cursor.execute(sql)


def guarded() -> bool:
    """Whether all triggers are there, and switched on."""
    wanted = {f"{table}_{action}" for table in ARCHIVED for action in actions()}
    sql = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    if connection.vendor == "postgresql":
        sql = "SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')"
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return wanted <= {name for (name,) in cursor.fetchall()}


def actions() -> list[str]:
    # SQLite has no TRUNCATE.
    return ["update", "delete", *(["truncate"] if connection.vendor == "postgresql" else [])]


def making() -> list[str]:
    return postgresql() if connection.vendor == "postgresql" else sqlite()


def sqlite() -> list[str]:
    trigger = (
        "CREATE TRIGGER IF NOT EXISTS {table}_{action} BEFORE {action} ON {table} {when} BEGIN {refuse}; END"
    )
    refuse = f"SELECT RAISE(ABORT, '{SAYS}')"
    return [
        trigger.format(
            table=table,
            action=action,
            when=f"WHEN NOT ({archived})" if action == "delete" else "",
            refuse=refuse,
        )
        for table, archived in ARCHIVED.items()
        for action in actions()
    ]


def postgresql() -> list[str]:
    refuse = f"""
        CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '{SAYS}' USING ERRCODE = 'integrity_constraint_violation'; END $$
    """
    archived = """
        CREATE OR REPLACE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF {archived} THEN RETURN OLD; END IF;
            RAISE EXCEPTION '{says}' USING ERRCODE = 'integrity_constraint_violation';
        END $$
    """
    trigger = """
        CREATE OR REPLACE TRIGGER {table}_{action} BEFORE {action} ON {table}
        FOR EACH {each} EXECUTE FUNCTION {function}()
    """
    return [
        refuse,
        *(archived.format(table=table, archived=rule, says=SAYS) for table, rule in ARCHIVED.items()),
        *(
            trigger.format(
                table=table,
                action=action,
                each="STATEMENT" if action == "truncate" else "ROW",
                function=f"{table}_refuse" if action == "delete" else "audit_refuse",
            )
            for table in ARCHIVED
            for action in actions()
        ),
    ]
