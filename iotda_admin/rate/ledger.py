"""The limits' rows, kept through one connection of this process's own.

Its own, because a caller may be inside a transaction: the row would stay locked until that ends, for all.
"""

import threading
from contextlib import suppress
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from iotda_admin.rate.terms import Terms

# Longer than this nobody waits for the database; the platform is reached without it (see Limiter).
TIMEOUT_SECONDS = 1
# Nobody waits longer for a slot than a call may take: IOTDA_DEADLINE is 120 s at the most.
FAR_SECONDS = 121
NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch from clock_timestamp())::float8",
}
LATER_OF = {"sqlite": "max", "postgresql": "greatest"}
# Further ahead than anybody waits, or a pause that has not begun: since then the clock was set back.
PAUSED_TO = "CASE WHEN {now} BETWEEN l.paused_from AND l.paused_to THEN l.paused_to ELSE {now} END"
TAT = "{later_of}(CASE WHEN l.tat <= {now} + %(far)s THEN l.tat ELSE {now} END, {paused_to}, {now})"
RESERVE = """
    INSERT INTO rate_limit AS l (name, tat, paused_from, paused_to)
    VALUES (%(name)s, {now} + %(cost)s, 0, 0)
    ON CONFLICT (name) DO UPDATE SET tat = {tat} + %(cost)s
    WHERE {tat} <= {now} + %(tolerance)s + %(patience)s
    RETURNING tat - {now}
"""
PAUSE = """
    INSERT INTO rate_limit AS l (name, tat, paused_from, paused_to)
    VALUES (%(name)s, {now}, {now}, {now} + %(ahead)s)
    ON CONFLICT (name) DO UPDATE
    SET paused_from = {now}, paused_to = {later_of}({paused_to}, {now} + %(ahead)s)
    RETURNING tat
"""
LOOK = "SELECT {tat} - {now} FROM rate_limit AS l WHERE name = %(name)s"


class Unavailable(Exception):
    """The database is locked, gone or full."""


class TooFar(Exception):
    """The next slot is further away than the caller waits; it was not taken."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the next slot is {seconds:.1f} s away")
        self.seconds = seconds


_lock = threading.Lock()
_own: BaseDatabaseWrapper | None = None


def reserve(name: str, terms: Terms, count: int, patience: float) -> float:
    """Take `count` slots. Seconds until the first is due, negative within the burst. TooFar, Unavailable."""
    cost = count * terms.interval
    ahead = _ask(RESERVE, name, terms, cost=cost, patience=max(0.0, patience))
    if ahead is None:
        raise TooFar(wait(name, terms))
    return ahead - cost - terms.tolerance


def pause(name: str, terms: Terms, seconds: float) -> None:
    """No slot for so long, and no burst after it."""
    _ask(PAUSE, name, terms, ahead=seconds + terms.tolerance)


def wait(name: str, terms: Terms, calls: int = 1) -> float:
    """Seconds until the last of so many calls may go, if nobody else calls."""
    ahead = _ask(LOOK, name, terms) or 0.0
    return max(0.0, ahead + (calls - 1) * terms.interval - terms.tolerance)


def close() -> None:
    global _own
    with _lock:
        if _own is not None:
            with suppress(DatabaseError):
                _own.close()
        _own = None


def _ask(sql: str, name: str, terms: Terms, **numbers: float) -> float | None:
    caller = connections[DEFAULT_DB_ALIAS]
    if caller.vendor == "sqlite" and caller.in_atomic_block:
        # SQLite has one writer, and that is the caller: we would wait for ourselves.
        raise Unavailable("inside a transaction")
    params: dict[str, str | float] = {
        "name": name,
        "tolerance": terms.tolerance,
        **numbers,
    }
    params["far"] = FAR_SECONDS + terms.tolerance + terms.interval
    try:
        with _lock, _connection().cursor() as cursor:
            cursor.execute(_spelt_out(sql, caller.vendor), params)
            row = cursor.fetchone()
    except DatabaseError as error:
        close()
        raise Unavailable(str(error)) from error
    return None if row is None else float(row[0])


def _spelt_out(sql: str, vendor: str) -> str:
    words = {"now": NOW[vendor], "later_of": LATER_OF[vendor]}
    words["paused_to"] = PAUSED_TO.format(**words)
    return sql.format(**words, tat=TAT.format(**words))


def _connection() -> BaseDatabaseWrapper:
    global _own
    if _own is None:
        own = connections.create_connection(DEFAULT_DB_ALIAS)
        own.settings_dict = own.settings_dict | {"OPTIONS": _options(own)}
        own.inc_thread_sharing()
        _own = own
    return _own


def _options(own: BaseDatabaseWrapper) -> dict[str, Any]:
    """No waiting, and no waiting for the disk either: a slot that a power cut forgets does no harm."""
    options = dict(own.settings_dict["OPTIONS"])
    if own.vendor == "sqlite":
        return options | {
            "timeout": TIMEOUT_SECONDS,
            "init_command": "PRAGMA synchronous=NORMAL;",
        }
    options.pop("pool", None)
    limits = (
        f"-c lock_timeout={TIMEOUT_SECONDS}s -c statement_timeout={TIMEOUT_SECONDS}s"
    )
    return options | {
        "connect_timeout": TIMEOUT_SECONDS,
        "options": f"{options.get('options', '')} {limits} -c synchronous_commit=off",
    }
