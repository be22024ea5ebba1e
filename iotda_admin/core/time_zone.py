"""The time zone of whoever reads: the browser tells it by a cookie that static/app.js sets."""

from collections.abc import Callable
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

COOKIE = "zone"


class ReaderZone:
    """Until it is told, times are in settings.TIME_ZONE."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with timezone.override(zone_named(request.COOKIES.get(COOKIE, ""))):
            return self.get_response(request)


def zone_named(name: str) -> ZoneInfo | None:
    """Only a name on the list is looked up: anything else would become a path."""
    return ZoneInfo(name) if name in known() else None


@cache
def known() -> frozenset[str]:
    return frozenset(available_timezones())
