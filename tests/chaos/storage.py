"""Tamper with the storage around the rows: indexes, triggers, columns and their pages.

The chain of hashes stays right. On SQLite a copy of the file is tampered with, on
PostgreSQL the database itself, as its superuser, in a transaction that is rolled back.
"""

import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.db import connection as db
from django.db import transaction

from iotda_admin.audit import triggers
from iotda_admin.audit.checks import AUDIT_TABLES
from iotda_admin.audit.checks.read_only import sqlite_file
from iotda_admin.audit.checks.schema import expected_schema
from iotda_admin.audit.record import record_event
from tests.chaos.report import Findings

type Execute = Callable[[str], list[Any]]

# Both keep the type of the values.
WEAKER_COLUMN = [
    ('"{}" varchar(40) NOT NULL', '"{}" varchar(40) COLLATE NOCASE NOT NULL'),
    ('"{}" varchar(40) NOT NULL', '"{}" varchar(40) NULL'),
    ('"{}" varchar(40) NOT NULL', '"{}" varchar(39) NOT NULL'),
    ('"{}" varchar(40) NOT NULL', "\"{}\" varchar(40) NOT NULL DEFAULT 'login'"),
    ('"{}" varchar(40) NOT NULL', "\"{}\" varchar(40) NOT NULL CHECK ({} <> 'x')"),
]
ALTERED = [
    'ALTER TABLE audit_event ALTER {} TYPE varchar(40) COLLATE "C"',
    "ALTER TABLE audit_event ALTER {} DROP NOT NULL",
    "ALTER TABLE audit_event ALTER {} TYPE varchar(41)",
    "ALTER TABLE audit_event ALTER {} SET DEFAULT 'login'",
    "ALTER TABLE audit_event ADD CHECK ({} <> 'x')",
    "ALTER TABLE audit_event ENABLE ROW LEVEL SECURITY",
    "CREATE RULE quiet AS ON INSERT TO audit_event WHERE {} = 'x' DO INSTEAD NOTHING",
    "CREATE TABLE child () INHERITS (audit_event)",
]


def make_trail() -> None:
    """Record events so that each index of the trail has entries."""
    hours, settings.WORKING_HOURS = (
        settings.WORKING_HOURS,
        (frozenset(), time(), time()),
    )
    try:
        for n in range(1, 9):
            record_event("denied", actor_name="Eve", actor_id=7, source="web")
            facts: dict[str, Any] = {
                "actor_name": f"Ada {n}",
                "actor_id": n,
                "operation": n,
                "verb": "policy.bind",
                "policy_id": f"{n:024x}",
                "policy_name": f"Lamps {n}",
                "target_type": "app",
                "ticket": f"INC-{n}",
                "reason": f"billing dispute {n}",
                "source": "cli",
            }
            record_event("operation.asked", targets=[(f"d{n}", "Lamp", "")], **facts)
            failed = (f"d{n}", "Lamp", "failed", "IOTDA.015204", "full")
            record_event("chunk.answered", targets=[failed], **facts)
    finally:
        settings.WORKING_HOURS = hours


def index_names() -> list[str]:
    """Return our indexes, without those of primary keys."""
    names = [part.split()[1] for part in expected_schema() if part.startswith("index")]
    return [name for name in names if not re.match("audit_|sqlite_", name)]


# --- The tamperings: each returns what has to be named
def lose_entries(execute: Execute, dice: random.Random, index: str = "") -> str:
    """Let an index miss some or all rows of its table, as if it never got them."""
    index = index or dice.choice(index_names())
    key = "id" if index.startswith("event") else "event_id"
    # The last two events are in each index: one by its words, one by all others.
    (last,) = execute("SELECT max(id) FROM audit_event")[0]
    lost = last - 1 if index.startswith("reason") else last
    rebuild(
        execute, index, dice.choice(["1 = 0", f"{key} < {lost}", f"{key} <> {lost}"])
    )
    return index


def rebuild(execute: Execute, index: str, condition: str) -> None:
    """Build an index from the rows of a condition, and keep its definition."""
    if db.vendor == "postgresql":
        sql = execute(f"SELECT pg_get_indexdef('{index}'::regclass)")[0][0]
        execute(narrowed(sql, condition).replace(f" {index} ", " other ", 1))
        execute(
            "UPDATE pg_class SET relfilenode = pg_relation_filenode('other') "
            f"WHERE oid = '{index}'::regclass"
        )
        execute("DROP INDEX other")
        return
    (sql,) = execute(f"SELECT sql FROM sqlite_master WHERE name = '{index}'")[0]
    write_schema(execute, index, narrowed(sql, condition))
    execute(f"REINDEX {index}")
    write_schema(execute, index, sql)


def narrowed(sql: str, condition: str) -> str:
    if " WHERE " in sql:
        return sql.replace(" WHERE ", f" WHERE {condition} AND ", 1)
    return f"{sql} WHERE {condition}"


def write_schema(execute: Execute, name: str, sql: str) -> None:
    execute("PRAGMA writable_schema = ON")
    quoted = sql.replace("'", "''")
    execute(f"UPDATE sqlite_master SET sql = '{quoted}' WHERE name = '{name}'")
    execute("PRAGMA writable_schema = RESET")


def drop_index(execute: Execute, dice: random.Random) -> str:
    index = dice.choice(index_names())
    execute(f"DROP INDEX {index}")
    return index


def change_index(execute: Execute, dice: random.Random) -> str:
    """Build an index that only looks right by its name."""
    index = dice.choice(["event_kind", "event_source", "event_verb"])
    column = index.removeprefix("event_")
    execute(f"DROP INDEX {index}")
    keys, where = dice.choice(
        [
            ("{} DESC, id", ""),
            ("{}, id", "WHERE {} <> 'denied'"),
            ("actor_name, id", ""),
            ("lower({}), id", ""),
            ("{}, id, hash", ""),
        ]
    )
    sql = f"CREATE INDEX {index} ON audit_event ({keys}) {where}"
    execute(sql.format(*[column] * 2))
    return index


def add_index(execute: Execute, dice: random.Random) -> str:
    column = dice.choice(["kind", "hash", "ticket"])
    execute(f"CREATE INDEX foreign_one ON audit_event ({column})")
    return "foreign_one"


def drop_trigger(execute: Execute, dice: random.Random) -> str:
    name, table = random_trigger(dice)
    execute(f"DROP TRIGGER {name}{on(table)}")
    return name


def random_trigger(dice: random.Random) -> tuple[str, str]:
    table = dice.choice(list(triggers.DELETABLE))
    return f"{table}_{dice.choice(triggers.trigger_actions())}", table


def on(table: str) -> str:
    return f" ON {table}" if db.vendor == "postgresql" else ""


def weaken_trigger(execute: Execute, dice: random.Random) -> str:
    name, table = random_trigger(dice)
    if db.vendor == "postgresql":
        execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        return name
    (sql,) = execute(f"SELECT sql FROM sqlite_master WHERE name = '{name}'")[0]
    if " WHEN " in sql and dice.random() < 0.5:
        weaker = sql.replace(" BEGIN", " AND 0 BEGIN")
    else:
        weaker = re.sub(r"RAISE\(ABORT, '[^']*'\)", "RAISE(IGNORE)", sql)
    write_schema(execute, name, weaker)
    return name


def weaken_function(execute: Execute, dice: random.Random) -> str:
    """Let the triggers allow everything; on SQLite, add one that skips new rows."""
    if db.vendor == "postgresql":
        execute(
            "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger "
            "LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"
        )
        return "audit_event_update"
    execute(
        "CREATE TRIGGER other BEFORE INSERT ON audit_event WHEN NEW.kind = 'denied' "
        "BEGIN SELECT RAISE(IGNORE); END"
    )
    return "other"


def change_column(execute: Execute, dice: random.Random) -> str:
    column = dice.choice(["kind", "verb"])
    if db.vendor == "postgresql":
        execute(dice.choice(ALTERED).format(column))
        return "audit_event"
    old, new = dice.choice(WEAKER_COLUMN)
    (sql,) = execute("SELECT sql FROM sqlite_master WHERE name = 'audit_event'")[0]
    changed = sql.replace(old.format(column), new.format(column, column))
    assert changed != sql
    write_schema(execute, "audit_event", changed)
    return column


def add_column(execute: Execute, dice: random.Random) -> str:
    table = dice.choice(AUDIT_TABLES)
    execute(f"ALTER TABLE {table} ADD COLUMN other integer")
    return table


def replace_by_view(execute: Execute, dice: random.Random) -> str:
    """Let pages read a view that hides rows."""
    table = dice.choice([triggers.WORD, triggers.ANCHOR])
    execute(f"ALTER TABLE {table} RENAME TO other")
    execute(f"CREATE VIEW {table} AS SELECT * FROM other")
    return table


TAMPERINGS: list[Callable[[Execute, random.Random], str]] = [
    *[lose_entries] * 4, drop_index, change_index, change_index, add_index, drop_trigger,
    weaken_trigger, weaken_function, change_column, change_column, add_column, replace_by_view,
]  # fmt: skip


# --- Pages of a SQLite file
def empty_page(path: Path, dice: random.Random, index: str = "") -> str:
    """Write the root page of an index as that of an empty one."""
    name, page, size = root_page(path, dice, index)
    empty = b"\x0a\0\0\0\0" + (size % 65536).to_bytes(2) + b"\0"
    write(path, page * size, empty.ljust(size, b"\0"))
    return name


def alter_page(path: Path, dice: random.Random) -> str:
    """Change one bit of the entries in the root page of an index.

    SQLite does not always name the index of a page, so no name is required.
    """
    _name, page, size = root_page(path, dice)
    content = path.read_bytes()[page * size : (page + 1) * size]
    # The entries fill the page from its end.
    at = size - 1 - dice.randrange(min(40, size - int.from_bytes(content[5:7])))
    write(path, page * size + at, bytes([content[at] ^ 1 << dice.randrange(8)]))
    return ""


def swap_roots(path: Path, dice: random.Random) -> str:
    """Let two indexes of the same columns' types read the pages of each other."""
    one, other = dice.sample(["event_kind", "event_source", "event_verb"], 2)
    roots = {name: root_page(path, dice, name)[1] + 1 for name in (one, other)}
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA writable_schema = ON")
        for name, root in ((one, roots[other]), (other, roots[one])):
            sql = "UPDATE sqlite_master SET rootpage = ? WHERE name = ?"
            raw.execute(sql, [root, name])
    return one


def root_page(path: Path, dice: random.Random, index: str = "") -> tuple[str, int, int]:
    """Return an index with entries, the number of its root page from 0, and the size."""
    with closing(sqlite3.connect(path)) as raw:
        (size,) = raw.execute("PRAGMA page_size").fetchone()
        found = raw.execute(
            "SELECT name, rootpage FROM sqlite_master WHERE type = 'index' "
            "AND tbl_name LIKE 'audit_%' AND tbl_name <> 'audit_anchor' ORDER BY name"
        ).fetchall()
    name, page = dice.choice([row for row in found if index in ("", row[0])])
    return name, page - 1, size


def write(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


PAGE_TAMPERINGS: list[Callable[[Path, random.Random], str]] = [
    empty_page,
    alter_page,
    swap_roots,
]


# --- The run
@contextmanager
def sqlite_copy() -> Iterator[Path]:
    """Copy the database to a file of its own."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "copy.sqlite3"
        db.ensure_connection()
        # With what is not committed yet.
        path.write_bytes(db.connection.serialize())
        with closing(sqlite3.connect(path)) as copy:
            copy.execute("PRAGMA journal_mode = DELETE")
        yield path


@contextmanager
def tampered(way: Callable[..., str], dice: random.Random, *more: Any) -> Iterator[str]:
    """Read a database that was tampered with. Yield what has to be named."""
    if db.vendor == "postgresql":
        with transaction.atomic():
            yield way(execute_postgresql, dice, *more)
            transaction.set_rollback(True)
        return
    with sqlite_copy() as path:
        if way in PAGE_TAMPERINGS:
            name = way(path, dice, *more)
        else:
            with closing(sqlite3.connect(path, isolation_level=None)) as raw:
                name = way(lambda sql: raw.execute(sql).fetchall(), dice, *more)
        with sqlite_file(path):
            yield name


def execute_postgresql(sql: str) -> list[Any]:
    with db.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def tamper(seed: int, times: int, verify: Callable[[], list[str]]) -> Findings:
    """Tamper with the storage of a trail. `verify` has to name each tampering."""
    findings, dice = Findings(), random.Random(seed)
    pages: list[Any] = PAGE_TAMPERINGS * 2 if db.vendor == "sqlite" else []
    with transaction.atomic():
        make_trail()
        findings.violations += [f"untouched: {one}" for one in verify()]
        for _n in range(times):
            way: Callable[..., str] = dice.choice([*TAMPERINGS, *pages])
            with tampered(way, dice) as name:
                found = " ".join(verify())
            findings.numbers["storage_tamperings"] += 1
            findings.moments[way.__name__.replace("_", " ")] += 1
            if not found or name not in found:
                findings.violations.append(
                    f"{way.__name__}, {name}: {found or 'not seen'}"
                )
        transaction.set_rollback(True)
    return findings
