"""A connection of our own to the database, beside those of requests and operations.

What all processes share is written through it: within a caller's transaction the row
would stay locked for all until it ends. It waits only briefly.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

# How long a caller waits for the database before it goes on without.
TIMEOUT_SECONDS = 1.0
# Seconds since 1970. The clock is the database's: those of the machines may differ.
NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch from clock_timestamp())::float8",
}
LATER_OF = {"sqlite": "max", "postgresql": "greatest"}
# In milliseconds, for the session.
LOCK_TIMEOUT = {
    "sqlite": "PRAGMA busy_timeout = {:.0f}",
    "postgresql": "SET lock_timeout = {:.0f}",
}

type Params = Mapping[str, str | float]


class StoreUnavailable(Exception):
    """The database is locked, unreachable or full."""


_lock = threading.Lock()
_connection: BaseDatabaseWrapper | None = None
_timeout = TIMEOUT_SECONDS


def execute(
    sql: str, params: Params, *, timeout: float = TIMEOUT_SECONDS
) -> tuple[Any, ...] | None:
    """Run a statement and return its first row. Raises StoreUnavailable.

    It waits at most `timeout` seconds for other threads, and as long for a lock of
    the database.
    """
    caller = connections[DEFAULT_DB_ALIAS]
    if caller.vendor == "sqlite" and caller.in_atomic_block:
        # SQLite has one writer, and it is the caller: this would be a deadlock.
        raise StoreUnavailable("inside a transaction")
    if not _lock.acquire(timeout=timeout):
        raise StoreUnavailable("other threads are using the connection")
    try:
        with _open_connection().cursor() as cursor:
            _set_timeout(cursor, timeout)
            cursor.execute(sql, params)
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row
    except DatabaseError as error:
        _close()
        raise StoreUnavailable(str(error)) from error
    finally:
        _lock.release()


def _set_timeout(cursor: CursorWrapper, timeout: float) -> None:
    global _timeout
    if timeout != _timeout:
        cursor.execute(LOCK_TIMEOUT[cursor.db.vendor].format(timeout * 1000))
        _timeout = timeout


def close_connection() -> None:
    """Close the connection; the next use opens a new one."""
    with _lock:
        _close()


def _close() -> None:
    global _connection
    if _connection is not None:
        with suppress(DatabaseError):
            _connection.close()
    _connection = None


def _open_connection() -> BaseDatabaseWrapper:
    global _connection, _timeout
    if _connection is None:
        opened = connections.create_connection(DEFAULT_DB_ALIAS)
        opened.settings_dict = opened.settings_dict | {"OPTIONS": _options(opened)}
        opened.inc_thread_sharing()
        _connection, _timeout = opened, TIMEOUT_SECONDS
    return _connection


def _options(opened: BaseDatabaseWrapper) -> dict[str, Any]:
    """Return options with short timeouts and without a wait for the disk.

    What a power failure loses here does no harm.
    """
    options = dict(opened.settings_dict["OPTIONS"])
    if opened.vendor == "sqlite":
        return options | {
            "timeout": TIMEOUT_SECONDS,
            "init_command": "PRAGMA synchronous=NORMAL;",
        }
    options.pop("pool", None)
    limits = "-c lock_timeout={0}s -c statement_timeout={0}s -c synchronous_commit=off"
    flags = f"{options.get('options', '')} {limits.format(round(TIMEOUT_SECONDS))}"
    return options | {"connect_timeout": round(TIMEOUT_SECONDS), "options": flags}
