"""Time zones by name, as a browser or a form sends them."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

known_time_zones = cache(available_timezones)


def zone_named(name: str) -> ZoneInfo | None:
    """Return the zone, or None if unknown: ZoneInfo would use the name as a path."""
    return ZoneInfo(name) if name in known_time_zones() else None
