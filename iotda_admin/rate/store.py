"""The rows of the rate limits, shared by all processes.

They are written through a connection of their own: within a caller's transaction the
row would stay locked for all until it ends.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from iotda_admin.rate.limits import RateLimit

# How long a call waits for the database before it goes on without (see limiter).
TIMEOUT_SECONDS = 1
# More than any call waits for a slot: IOTDA_DEADLINE is at most 120 s.
FAR_SECONDS = 121
NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch from clock_timestamp())::float8",
}
LATER_OF = {"sqlite": "max", "postgresql": "greatest"}
# Ignore a slot further ahead than any call waits, and a pause that has not begun: the
# clock was set back since.
PAUSED_TO = """
    CASE WHEN {now} BETWEEN l.paused_from AND l.paused_to THEN l.paused_to
    ELSE {now} END
"""
TAT = """
    {later_of}(CASE WHEN l.tat <= {now} + %(far)s THEN l.tat ELSE {now} END,
    {paused_to}, {now})
"""
RESERVE = """
    INSERT INTO rate_limit AS l (name, tat, paused_from, paused_to)
    VALUES (%(name)s, {now} + %(cost)s, 0, 0)
    ON CONFLICT (name) DO UPDATE SET tat = {tat} + %(cost)s
    WHERE {tat} <= {now} + %(tolerance)s + %(timeout)s
    RETURNING tat - {now}
"""
PAUSE = """
    INSERT INTO rate_limit AS l (name, tat, paused_from, paused_to)
    VALUES (%(name)s, {now}, {now}, {now} + %(ahead)s)
    ON CONFLICT (name) DO UPDATE
    SET paused_from = {now}, paused_to = {later_of}({paused_to}, {now} + %(ahead)s)
    RETURNING tat
"""
PEEK = "SELECT {tat} - {now} FROM rate_limit AS l WHERE name = %(name)s"


class StoreUnavailable(Exception):
    """The database is locked, unreachable or full."""


@dataclass(eq=False)
class SlotTooFar(Exception):
    """The next slot is `seconds` away, more than the caller waits; it is not taken."""

    seconds: float


_lock = threading.Lock()
_connection: BaseDatabaseWrapper | None = None


def reserve_slots(limit: RateLimit, count: int, timeout: float) -> float:
    """Reserve `count` slots.

    Return the seconds until the first is due, negative within the burst. Raises
    SlotTooFar if that is more than `timeout`, and StoreUnavailable.
    """
    cost = count * limit.interval
    ahead = _execute(RESERVE, limit, cost=cost, timeout=max(0.0, timeout))
    if ahead is None:
        raise SlotTooFar(seconds_until_slot(limit))
    return ahead - cost - limit.tolerance


def pause_slots(limit: RateLimit, seconds: float) -> None:
    """Allow no slot for `seconds`, and no burst right after it."""
    _execute(PAUSE, limit, ahead=seconds + limit.tolerance)


def seconds_until_slot(limit: RateLimit, calls: int = 1) -> float:
    """Return the seconds until the last of `calls` calls, if nothing else calls."""
    ahead = _execute(PEEK, limit) or 0.0
    return max(0.0, ahead + (calls - 1) * limit.interval - limit.tolerance)


def close_connection() -> None:
    """Close the store's connection; the next use opens a new one."""
    global _connection
    with _lock:
        if _connection is not None:
            with suppress(DatabaseError):
                _connection.close()
        _connection = None


def _execute(sql: str, limit: RateLimit, **numbers: float) -> float | None:
    caller = connections[DEFAULT_DB_ALIAS]
    if caller.vendor == "sqlite" and caller.in_atomic_block:
        # SQLite has one writer, and it is the caller: this would be a deadlock.
        raise StoreUnavailable("inside a transaction")
    far = FAR_SECONDS + limit.tolerance + limit.interval
    params: dict[str, str | float] = {
        "name": limit.name,
        "tolerance": limit.tolerance,
        "far": far,
        **numbers,
    }
    try:
        with _lock, _open_connection().cursor() as cursor:
            cursor.execute(_complete(sql, caller.vendor), params)
            row = cursor.fetchone()
    except DatabaseError as error:
        close_connection()
        raise StoreUnavailable(str(error)) from error
    return None if row is None else float(row[0])


def _complete(sql: str, vendor: str) -> str:
    """Insert the expressions of this database into the SQL."""
    parts = {"now": NOW[vendor], "later_of": LATER_OF[vendor]}
    parts["paused_to"] = PAUSED_TO.format(**parts)
    return sql.format(**parts, tat=TAT.format(**parts))


def _open_connection() -> BaseDatabaseWrapper:
    global _connection
    if _connection is None:
        opened = connections.create_connection(DEFAULT_DB_ALIAS)
        opened.settings_dict = opened.settings_dict | {"OPTIONS": _options(opened)}
        opened.inc_thread_sharing()
        _connection = opened
    return _connection


def _options(opened: BaseDatabaseWrapper) -> dict[str, Any]:
    """Return options with short timeouts and without a wait for the disk.

    A slot that is lost in a power failure does no harm.
    """
    options = dict(opened.settings_dict["OPTIONS"])
    if opened.vendor == "sqlite":
        return options | {
            "timeout": TIMEOUT_SECONDS,
            "init_command": "PRAGMA synchronous=NORMAL;",
        }
    options.pop("pool", None)
    limits = "-c lock_timeout={0}s -c statement_timeout={0}s -c synchronous_commit=off"
    flags = f"{options.get('options', '')} {limits.format(TIMEOUT_SECONDS)}"
    return options | {"connect_timeout": TIMEOUT_SECONDS, "options": flags}
