"""Read a SQLite file instead of the database of the settings, and write nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections
from django.db.utils import load_backend


class CannotVerify(Exception):
    """The database cannot be read; the message says why, and what to do."""


@contextmanager
def sqlite_file(file: Path) -> Iterator[None]:
    """Let all queries read a SQLite file, which can be on read-only media."""
    before = file_states(file)
    # Without a file beside it, no process writes to it: then SQLite needs no lock and
    # no -wal file, which it could not create on read-only media.
    alone = not any(before[1:])
    # SQLite would create a missing -shm file beside a -wal file, even for reading.
    address = f"{file.resolve().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    try:
        with default_connection(address):
            require_readable(file, alone)
            yield
    finally:
        # What was found in such a file can be wrong.
        if alone and file_states(file) != before:
            raise CannotVerify(
                f"A process wrote to {file} meanwhile. Verify a backup, or run "
                "audit_verify without --file."
            )


def file_states(file: Path) -> list[tuple[int, int] | None]:
    """Return size and time of the file, its -wal and its -journal, unless empty."""
    files = [
        file,
        *(file.with_name(f"{file.name}{end}") for end in ("-wal", "-journal")),
    ]
    stats = [each.stat() if each.exists() else None for each in files]
    return [(s.st_size, s.st_mtime_ns) if s and s.st_size else None for s in stats]


@contextmanager
def default_connection(address: str) -> Iterator[None]:
    """Let the default connection be one to a SQLite database."""
    handler: Any = connections
    settings = handler.configure_settings(
        {DEFAULT_DB_ALIAS: {"ENGINE": "django.db.backends.sqlite3", "NAME": address}}
    )[DEFAULT_DB_ALIAS]
    backend = load_backend(settings["ENGINE"])
    former = connections[DEFAULT_DB_ALIAS]
    connections[DEFAULT_DB_ALIAS] = backend.DatabaseWrapper(settings, DEFAULT_DB_ALIAS)
    try:
        yield
    finally:
        connections[DEFAULT_DB_ALIAS].close()
        connections[DEFAULT_DB_ALIAS] = former


def require_readable(file: Path, alone: bool) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM sqlite_master")
    except DatabaseError as error:
        advice = (
            "Name a SQLite database that you may read."
            if alone
            else "The file beside it, -wal or -journal, holds a part of the database, and "
            "SQLite needs to write to use it. Copy both to a folder that you can write to, "
            "and verify the copy."
        )
        raise CannotVerify(f"{file} cannot be read ({error}). {advice}") from error
