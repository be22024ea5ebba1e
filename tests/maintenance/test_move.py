"""manage.py move_database moves everything from SQLite to PostgreSQL, or nothing."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import DjangoDbBlocker

from iotda_admin.maintenance.source import (
    MaintenanceError,
    open_source,
    stored_tables,
    table_name,
    tables_of_rows,
    unchanged_snapshot,
)
from tests.cloud import Cloud
from tests.maintenance.conftest import ON_POSTGRESQL, Site

FILE = "iotda-admin.sqlite3"
FILL = "from tests.maintenance.rows import fill_every_table; fill_every_table()"
# The rows of every table of a target, what it refuses, and the IDs that it gives.
INSPECT = """
import json
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from iotda_admin.audit.verify import verify_trail
from iotda_admin.maintenance.source import stored_tables, table_name
trail = verify_trail()
counts = {table_name(m): m._base_manager.count() for m in stored_tables()}
refused = []
for sql in ("UPDATE audit_event SET reason = ''", "DELETE FROM audit_outcome"):
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
    except DatabaseError as error:
        refused.append("append-only" in str(error))
user = User.objects.create_user("newcomer")
may = User.objects.get(username="operator").has_perm("devices.freeze_device")
print(json.dumps([str(trail.head), trail.broken_at, counts, refused, user.pk, may]))
"""
only_on_postgresql = pytest.mark.skipif(
    not ON_POSTGRESQL, reason="moves to PostgreSQL: set DATABASE_URL, as .ci/run does"
)


@pytest.fixture(scope="module")
def filled(cloud_process: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a SQLite database that has a row in every table."""
    cloud_process.reset()
    folder = tmp_path_factory.mktemp("filled")
    site = Site(folder, cloud_process, "")
    site.prepare()
    site.shell(FILL)
    # What the filling noted as alive.
    run(folder / FILE, "update health_worker set seen_at = '2026-01-01 00:00:00'")
    return folder


@pytest.fixture
def source(filled: Path, tmp_path: Path) -> Path:
    shutil.copy(filled / FILE, tmp_path / FILE)
    return tmp_path / FILE


@pytest.fixture
def target(new_site: Callable[[str], Site]) -> Site:
    return new_site("target")


def run(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database, database:
        return database.execute(sql).fetchall()


def test_every_stored_table_is_moved(db: None) -> None:
    tables = tables_of_rows(connection) - {"django_migrations"}
    assert tables ^ set(map(table_name, stored_tables())) == set()


@only_on_postgresql
def test_everything_arrives_and_the_file_stays_as_it_was(
    source: Path, target: Site
) -> None:
    before = source.read_bytes()
    counts = {
        table: run(source, f"select count(*) from {table}")[0][0]
        for table in map(table_name, stored_tables())
    }
    assert [table for table, rows in counts.items() if not rows] == []
    sql = "select id || ':' || hash from audit_event order by id desc limit 1"
    ((head,),) = run(source, sql)
    sql = "select seq from sqlite_sequence where name = 'auth_user'"
    ((last_user,),) = run(source, sql)

    done = target.manage("move_database", source)

    assert done.returncode == 0, done.stderr
    assert (
        f"{sum(counts.values()):,} rows in {len(counts)} tables were moved"
        in done.stdout
    )
    assert head in done.stdout
    assert source.read_bytes() == before
    (found,) = target.shell(INSPECT)
    # The ID of the user who was deleted last is not given again.
    assert found == [head, None, counts, [True, True], last_user + 1, True]
    assert "verified" in target.manage("audit_verify", "--expect", head).stdout
    # Sessions and all: a second move finds the target full.
    again = target.manage("move_database", source)
    assert again.returncode == 1
    assert "The target is not empty" in again.stderr
    assert "audit_event" in again.stderr
    assert again.stderr.rstrip().endswith("Nothing was moved.")


@only_on_postgresql
def test_a_move_that_fails_leaves_nothing_and_can_be_repeated(
    source: Path, target: Site
) -> None:
    # SQLite does not enforce lengths. Sessions are moved last.
    run(source, "update django_session set session_key = printf('%.99c', 'x')")
    failed = target.manage("move_database", source)
    assert failed.returncode == 1
    assert "django_session" in failed.stderr
    assert "varying(40)" in failed.stderr
    run(source, "update django_session set session_key = 'x'")
    done = target.manage("move_database", source)
    assert done.returncode == 0, done.stderr


@only_on_postgresql
@pytest.mark.parametrize(
    ("sql", "why"),
    [
        (
            "update health_worker set seen_at = datetime('now')",
            "A worker used the source in the last 30 seconds.",
        ),
        (
            "update operations_chunk set state = 'sent',"
            " lease_until = datetime('now', '+1 minute')",
            "1 calls to IoTDA are in flight.",
        ),
        (
            "delete from django_migrations where app = 'policies'",
            "The source has the tables of another version.",
        ),
        (
            "insert into django_migrations (app, name, applied)"
            " values ('policies', '0999_later', '2026-01-01')",
            "The source has the tables of another version.",
        ),
        (
            "update audit_anchor set hash = 'x'",
            "The audit trail does not verify: event 6",
        ),
    ],
    ids=["worker", "call", "older", "newer", "tampered"],
)
def test_a_source_that_cannot_be_moved_is_refused(
    source: Path, target: Site, sql: str, why: str
) -> None:
    run(source, "drop trigger audit_anchor_update")
    run(source, sql)
    refused = target.manage("move_database", source)
    assert refused.returncode == 1
    assert why in refused.stderr


@only_on_postgresql
def test_open_work_is_moved_and_its_leases_have_ended(
    source: Path, target: Site
) -> None:
    run(
        source,
        "update operations_chunk set state = 'sent',"
        " lease_until = datetime('now', '-1 minute')",
    )
    assert target.manage("move_database", source).returncode == 0
    code = """
import json
from iotda_admin.operations.execution import reconciliation
from iotda_admin.operations.models import Chunk
states = [Chunk.objects.get().state]
reconciliation.expire_leases()
print(json.dumps([*states, Chunk.objects.get().state]))
"""
    assert target.shell(code) == [["sent", "unknown"]]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, db: None) -> None:
    (tmp_path / "notes.txt").write_text("not a database")
    for name in ("notes.txt", "absent"):
        with (
            pytest.raises(MaintenanceError, match="is not a file of SQLite"),
            open_source(tmp_path / name),
        ):
            pass


@pytest.mark.skipif(ON_POSTGRESQL, reason="concerns runs on SQLite")
def test_a_move_to_sqlite_is_refused(source: Path, db: None) -> None:
    with pytest.raises(CommandError, match="not the address of a PostgreSQL"):
        call_command("move_database", str(source))


def test_a_source_that_is_written_meanwhile_is_refused(
    source: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    with (
        django_db_blocker.unblock(),
        open_source(source) as database,
        pytest.raises(MaintenanceError, match="wrote to the source"),
        unchanged_snapshot(database),
    ):
        run(source, "update auth_user set first_name = 'Eve'")


def test_the_source_cannot_be_written(
    source: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    with (
        django_db_blocker.unblock(),
        open_source(source) as database,
        database.cursor() as cursor,
        pytest.raises(Exception, match="readonly"),
    ):
        cursor.execute("UPDATE auth_user SET first_name = 'Eve'")
