"""A SQLite file as a second database, which is read and never written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Model
from django.db.models.functions import Now

from iotda_admin.health.workers import live_workers
from iotda_admin.operations.models import Chunk, ChunkState

SOURCE = "source"
SQLITE_HEADER = b"SQLite format 3\0"
# Triggers keep it in the new database, too, from the first device that is copied.
KEPT_BY_TRIGGERS = {"devices_counts"}


class MaintenanceError(Exception):
    """The command stops; the message says why, and what to do."""


def is_sqlite_file(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE_HEADER)) == SQLITE_HEADER


@contextmanager
def open_source(path: Path) -> Iterator[Any]:
    """Open a SQLite file as the database `source`, for reading only."""
    if not path.is_file() or not is_sqlite_file(path):
        raise MaintenanceError(f"{path} is not a file of SQLite.")
    handler: Any = connections
    handler.settings[SOURCE] = handler.configure_settings(
        {
            DEFAULT_DB_ALIAS: {},
            SOURCE: {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": f"{path.resolve().as_uri()}?mode=ro",
            },
        }
    )[SOURCE]
    try:
        yield connections[SOURCE]
    finally:
        connections[SOURCE].close()
        del connections[SOURCE], handler.settings[SOURCE]


@contextmanager
def unchanged_snapshot(source: Any) -> Iterator[None]:
    """Read one state of the source. Raise MaintenanceError if it is written meanwhile."""
    before = data_version(source)
    with transaction.atomic(using=SOURCE):
        yield
    if data_version(source) != before:
        raise MaintenanceError(
            "A process wrote to the source meanwhile. Stop the web servers and the "
            "workers, then try again."
        )


def data_version(source: Any) -> int:
    """Return a number that changes when another process commits."""
    with source.cursor() as cursor:
        cursor.execute("PRAGMA data_version")
        return int(cursor.fetchone()[0])


def stored_tables() -> list[type[Model]]:
    """Return every table of this version, those between two models included."""
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
    ]


def table_name(model: type[Model]) -> str:
    return model._meta.db_table


def require_movable(source: Any) -> None:
    """Reject a source of another version, and one that a process works on."""
    executor = MigrationExecutor(source)
    loader = executor.loader
    newer = {
        key
        for key in loader.applied_migrations
        if key[0] in loader.migrated_apps and key not in loader.disk_migrations
    }
    if newer or executor.migration_plan(loader.graph.leaf_nodes()):
        raise MaintenanceError(
            "The source has the tables of another version. Install the version that "
            "used it, or run manage.py migrate on it with this one."
        )
    if live_workers().using(SOURCE).exists():
        raise MaintenanceError(
            "A worker used the source in the last 30 seconds. Stop the workers and the "
            "web servers, wait for 30 seconds, then try again."
        )
    # What is pending, unknown or at IoTDA is moved, as is a lease that has ended:
    # the next worker goes on with it, or reads it back.
    sent = Chunk.objects.using(SOURCE).filter(state=ChunkState.SENT)
    if calls := sent.filter(lease_until__gt=Now()).count():
        raise MaintenanceError(
            f"{calls} calls to IoTDA are in flight. Stop all processes, wait for a "
            "minute, then try again."
        )


def highest_ids(source: Any) -> dict[str, int]:
    """Return the highest ID that each table ever had, also of rows that are deleted.

    The audit trail finds the events of a user by ID, so no ID is given twice.
    """
    with source.cursor() as cursor:
        cursor.execute("SELECT name, seq FROM sqlite_sequence")
        return dict(cursor.fetchall())


def unknown_tables(source: Any) -> list[str]:
    """Return the tables of the source that belong to no app of this version."""
    known = {*map(table_name, stored_tables()), "django_migrations"}
    return sorted(tables_of_rows(source) - known)


def tables_of_rows(database: Any) -> set[str]:
    """Return the tables of a database without those that follow from others.

    On SQLite the index for the search of devices has some, too.
    """
    tables = set(database.introspection.table_names()) - KEPT_BY_TRIGGERS
    if database.vendor == "sqlite":
        with database.cursor() as cursor:
            cursor.execute("SELECT name FROM pragma_table_list WHERE type = 'table'")
            tables &= {name for (name,) in cursor.fetchall()}
    return tables
