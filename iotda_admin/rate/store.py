"""The rows of the rate limits, shared by all processes."""

from dataclasses import dataclass

from django.db import connection

from iotda_admin.rate import own_connection
from iotda_admin.rate.limits import RateLimit
from iotda_admin.rate.own_connection import LATER_OF, NOW, TIMEOUT_SECONDS

# More than any call waits for a slot: IOTDA_DEADLINE is at most 120 s.
FAR_SECONDS = 121
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


@dataclass(eq=False)
class SlotTooFar(Exception):
    """The next slot is `seconds` away, more than the caller waits; it is not taken."""

    seconds: float


def reserve_slots(
    limit: RateLimit,
    count: int,
    timeout: float,
    store_seconds: float = TIMEOUT_SECONDS,
) -> float:
    """Reserve `count` slots; wait at most `store_seconds` for the database.

    Return the seconds until the first is due, negative within the burst. Raises
    SlotTooFar if that is more than `timeout`, and StoreUnavailable.
    """
    cost = count * limit.interval
    numbers = {"cost": cost, "timeout": max(0.0, timeout)}
    ahead = _execute(RESERVE, limit, store_seconds, **numbers)
    if ahead is None:
        raise SlotTooFar(seconds_until_slot(limit, store_seconds=store_seconds))
    return ahead - cost - limit.tolerance


def pause_slots(limit: RateLimit, seconds: float) -> None:
    """Allow no slot for `seconds`, and no burst right after it."""
    _execute(PAUSE, limit, ahead=seconds + limit.tolerance)


def seconds_until_slot(
    limit: RateLimit, calls: int = 1, store_seconds: float = TIMEOUT_SECONDS
) -> float:
    """Return the seconds until the last of `calls` calls, if nothing else calls."""
    ahead = _execute(PEEK, limit, store_seconds) or 0.0
    return max(0.0, ahead + (calls - 1) * limit.interval - limit.tolerance)


def _execute(
    sql: str,
    limit: RateLimit,
    store_seconds: float = TIMEOUT_SECONDS,
    **numbers: float,
) -> float | None:
    params: dict[str, str | float] = {
        "name": limit.name,
        "tolerance": limit.tolerance,
        "far": FAR_SECONDS + limit.tolerance + limit.interval,
        **numbers,
    }
    row = own_connection.execute(_complete(sql), params, timeout=store_seconds)
    return None if row is None else float(row[0])


def _complete(sql: str) -> str:
    """Insert the expressions of this database into the SQL."""
    vendor = connection.vendor
    parts = {"now": NOW[vendor], "later_of": LATER_OF[vendor]}
    parts["paused_to"] = PAUSED_TO.format(**parts)
    return sql.format(**parts, tat=TAT.format(**parts))
