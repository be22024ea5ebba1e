"""Back up the database to one file, and restore it into an empty database.

A backup is one state of the database, taken while all processes go on.
"""

import os
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from iotda_admin.access.actor import system_user
from iotda_admin.audit.head import UNREADABLE, Head, adopt_head, chain_head, write_head
from iotda_admin.audit.record import record_event
from iotda_admin.audit.rows import read_snapshot
from iotda_admin.maintenance.source import MaintenanceError, is_sqlite_file
from iotda_admin.operations.execution.held_work import OPEN, Cause, hold_operations
from iotda_admin.operations.models import Operation

# What SQLite keeps beside a database in use, and after a crash.
SIDE_FILES = ("-wal", "-shm", "-journal")


def back_up(path: Path) -> Head:
    """Write a backup to a new file. Return the head of its audit trail."""
    if path.exists():
        raise MaintenanceError(f"{path} exists. Choose a new file.")
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        head = dump_postgresql(part) if on_postgresql() else copy_sqlite(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return head


def restore(path: Path) -> None:
    """Restore a backup into the empty database of the settings."""
    if not path.is_file():
        raise MaintenanceError(f"{path} is not a file.")
    if is_sqlite_file(path) and on_postgresql():
        raise MaintenanceError(
            f"{path} is a backup of SQLite: manage.py move_database brings it to "
            "PostgreSQL."
        )
    restore_postgresql(path) if on_postgresql() else restore_sqlite(path)


def migrations_missing() -> bool:
    """Whether the restored database is of an older version."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def hold_restored_work(path: Path, head: Head) -> list[str]:
    """Hold the open operations: they may have been done, and undone, since the backup.

    Return their names.
    """
    hold_operations(Cause.RESTORED, OPEN)
    record_event(
        "database.restored",
        actor_name=system_user(),
        source="cli",
        summary=f"{path.name} was restored; open operations are held.",
        detail={"file": path.name, "head": str(head)},
    )
    adopt_head()
    held = Operation.objects.filter(pause_cause=Cause.RESTORED).order_by("pk")
    return list(map(str, held))


def hold_after_migration() -> None:
    """Let the first process of this machine that sends hold the open operations."""
    write_head(UNREADABLE)


def on_postgresql() -> bool:
    return bool(connection.vendor == "postgresql")


def copy_sqlite(part: Path) -> Head:
    """Copy the database in one read, which blocks no writer."""
    connection.ensure_connection()
    with closing(sqlite3.connect(part)) as copy:
        connection.connection.backup(copy)
        check_sqlite(copy)
        sql = "SELECT id, hash FROM audit_event ORDER BY id DESC LIMIT 1"
        return Head(*(copy.execute(sql).fetchone() or (0, "")))


def check_sqlite(copy: sqlite3.Connection) -> None:
    # Without a write-ahead file the copy is a single file.
    copy.execute("PRAGMA journal_mode=DELETE")
    (found,) = copy.execute("PRAGMA quick_check").fetchone()
    if found != "ok":
        raise MaintenanceError(f"The copy is damaged: {found}.")


def restore_sqlite(path: Path) -> None:
    target = Path(connection.settings_dict["NAME"])
    require_no_sqlite(target)
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    address = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(address, uri=True)) as backup,
            closing(sqlite3.connect(part)) as copy,
        ):
            backup.backup(copy)
            check_sqlite(copy)
        part.replace(target)
    except sqlite3.Error as error:
        raise MaintenanceError(f"{path} is not a backup: {error}.") from error
    finally:
        part.unlink(missing_ok=True)


def require_no_sqlite(target: Path) -> None:
    """Reject a database with tables, and the side files of one that was moved away."""
    sides = [Path(f"{target}{end}") for end in SIDE_FILES]
    there = [str(file) for file in (target, *sides) if file.exists()]
    # Any command creates an empty database. To open one deletes old side files.
    if target.exists() and not connection.introspection.table_names():
        connection.close()
    elif there:
        raise MaintenanceError(
            "There is a database already. Stop all processes and move these files "
            f"away: {', '.join(there)}."
        )


def dump_postgresql(part: Path) -> Head:
    with read_snapshot(), connection.cursor() as cursor:
        # pg_dump reads the state whose head we return.
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone()
        options = ["--format=custom", f"--snapshot={snapshot}", f"--file={part}"]
        run_client("pg_dump", options)
        return chain_head()


def restore_postgresql(path: Path) -> None:
    if connection.introspection.table_names():
        raise MaintenanceError(
            "The database is not empty. Create an empty one, and set DATABASE_URL to it."
        )
    # An extension that an admin had created there has a comment that is theirs.
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-acl"]
    run_client("pg_restore", [*options, "--no-comments", str(path)])


def run_client(program: str, options: Sequence[str]) -> None:
    """Run a client program of PostgreSQL on the database of the settings."""
    # psycopg is loaded only where it is used: SQLite starts without it.
    from psycopg.conninfo import make_conninfo

    place: Any = connection.settings_dict
    names = {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}
    keys: dict[str, Any] = {key: place[name] or None for key, name in names.items()}
    keys |= {key: value for key, value in place["OPTIONS"].items() if key != "pool"}
    # Not on the command line, which all users of the machine can read.
    secret = {"PGPASSWORD": place["PASSWORD"]} if place["PASSWORD"] else {}
    command = [program, f"--dbname={make_conninfo(**keys)}", *options]
    try:
        done = subprocess.run(  # noqa: S603
            command, env=os.environ | secret, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise MaintenanceError(
            f"{program} is missing. Install PostgreSQL's client programs, at least of "
            "the server's version."
        ) from error
    if done.returncode:
        raise MaintenanceError(f"{program} failed: {done.stderr.strip()}")
