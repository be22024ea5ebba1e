"""Time zones by name, as a browser or a form sends them, and local times in them."""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

known_time_zones = cache(available_timezones)


def zone_named(name: str) -> ZoneInfo | None:
    """Return the zone, or None if unknown: ZoneInfo would use the name as a path."""
    return ZoneInfo(name) if name in known_time_zones() else None


def resolve_local_time(local: datetime, zone: tzinfo, *, later: bool) -> datetime:
    """Return the moment of a local time, in UTC: only there moments compare right.

    When clocks are set back, a local time occurs twice: `later` chooses the second. A
    local time that is skipped is the first moment after the gap.
    """
    first, second = (
        local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)
    )
    if first <= second:
        return second if later else first
    # Neither exists: the clocks change between the second and the first.
    start = second.replace(microsecond=0)

    def changed(seconds: int) -> bool:
        at = start + timedelta(seconds=seconds)
        return at.astimezone(zone).utcoffset() != start.astimezone(zone).utcoffset()

    gap = range((first - second) // timedelta(seconds=1))
    return start + timedelta(seconds=bisect_left(gap, True, key=changed))


def occurs_twice(at: datetime) -> bool:
    """Return whether the local time of a moment is also that of another moment."""
    return at.utcoffset() != at.replace(fold=not at.fold).utcoffset()
