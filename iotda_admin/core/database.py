"""How long a process waits for the database, and how it notices a lost connection."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from sqlite3 import SQLITE_BUSY
from typing import Any

from django.db import (
    DEFAULT_DB_ALIAS,
    Error,
    OperationalError,
    connection,
    connections,
    transaction,
)

log = logging.getLogger(__name__)

# Whether the current request has committed a change that is recorded.
committed: ContextVar[bool] = ContextVar("committed", default=False)
# How long a page waits for a lock to write what it can do without.
SPARE_SECONDS = 0.1
# PostgreSQL's codes: a lock was not free within lock_timeout, and a deadlock.
LOCK_NOT_AVAILABLE, DEADLOCK = "55P03", "40P01"


def pool_options(size: int, seconds: float) -> dict[str, Any]:
    """Return Django's options for a pool whose connections survive a restart.

    A caller waits up to `seconds` for a connection.
    """
    return {
        "min_size": 1,
        "max_size": size,
        "timeout": seconds,
        "check": check_connection,
        # By default the pause between two attempts grows to minutes.
        "reconnect_timeout": 3,
        # Starts the next attempts: a waiting caller alone does not.
        "reconnect_failed": lambda pool: pool.check(),
    }


def check_connection(session: Any) -> None:
    """Raise psycopg's error if the connection is lost, and then replace all lost ones.

    The pool itself would find them one by one, with pauses between, and time out.
    """
    # psycopg is loaded only where it is used: SQLite starts without it.
    from psycopg import Error as PsycopgError
    from psycopg_pool import ConnectionPool

    try:
        ConnectionPool.check_connection(session)
    except PsycopgError:
        pool: Any = connections[DEFAULT_DB_ALIAS]
        pool.pool.check()
        raise


def limit_waits(lock: float, statement: float) -> None:
    """Limit the seconds for a lock and for a statement, in this whole process.

    The web server and the worker call this before they connect. Commands such as
    migrate and backup do not: they may take long. 0 is no limit.
    """
    database = connections.settings[DEFAULT_DB_ALIAS]
    options = database["OPTIONS"]
    if database["ENGINE"].endswith("postgresql"):
        limits = {"lock_timeout": lock, "statement_timeout": statement}
        ours = [f"-c {name}={round(1000 * s)}" for name, s in limits.items() if s]
        # Options in DATABASE_URL come last, so they win.
        if flags := " ".join([*ours, options.get("options", "")]).strip():
            options["options"] = flags
    elif lock:
        options["timeout"] = lock


def write_if_free(write: Callable[[], object]) -> bool:
    """Make a write that the answer can do without; return whether it was made.

    It is given up soon if another process is writing.
    """
    try:
        with brief_transaction(SPARE_SECONDS):
            write()
    except OperationalError as error:
        busy = is_locked(error) or is_deadlock(error)
        log.log(logging.WARNING if busy else logging.ERROR, "Not written: %s", error)
        return False
    return True


@contextmanager
def brief_transaction(seconds: float) -> Iterator[None]:
    """Open a transaction that waits at most this long for the locks of others.

    Inside another transaction it would limit the waits of that one, too.
    """
    milliseconds = round(1000 * seconds)
    if connection.vendor == "postgresql":
        with transaction.atomic():
            set_option(f"SET LOCAL lock_timeout = {milliseconds}")
            yield
        return
    usual = round(1000 * connection.settings_dict["OPTIONS"]["timeout"])
    set_option(f"PRAGMA busy_timeout = {milliseconds}")
    try:
        # It waits here and nowhere else: it begins with the lock of the one writer.
        with transaction.atomic():
            yield
    finally:
        set_option(f"PRAGMA busy_timeout = {usual}")


def note_commit() -> None:
    """Remember that this request has committed a change; for `on_commit`."""
    committed.set(True)


def is_locked(error: BaseException) -> bool:
    """Return whether a statement did nothing because it waited in vain for a lock."""
    cause = error.__cause__
    busy = getattr(cause, "sqlite_errorcode", 0) & 0xFF == SQLITE_BUSY
    return busy or getattr(cause, "sqlstate", "") == LOCK_NOT_AVAILABLE


def is_deadlock(error: BaseException) -> bool:
    return getattr(error.__cause__, "sqlstate", "") == DEADLOCK


@contextmanager
def no_statement_limit() -> Iterator[None]:
    """Let statements of this connection take as long as they need."""
    if connection.vendor != "postgresql":
        yield
        return
    set_option("SET statement_timeout = 0")
    try:
        yield
    finally:
        # The connection may be lost, or its transaction failed; then it is not reused.
        with suppress(Error):
            set_option("RESET statement_timeout")


def set_option(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
