"""How long a process waits for the database, and how it notices a lost connection."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connection, connections


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
