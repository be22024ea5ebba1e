"""What auditors ask again and again, as links."""

from collections import Counter
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Q
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.scope import AnyUser
from iotda_admin.audit.models import Event, Outcome
from iotda_admin.audit.search.query import visible_events

# The newest failures, of which the codes are counted.
MAX_FAILURES_COUNTED = 10_000


class PresetSearch(NamedTuple):
    asked: str | Promise
    url: str


def preset_searches() -> list[PresetSearch]:
    quarter = f"{quarter_start(timezone.localtime()):%Y-%m-%dT%H:%M}"
    zone = timezone.get_current_timezone_name()
    binds = {
        "verb": "policy.bind",
        "whole": "on",
        "kind": "operation.asked",
        "since": quarter,
        "zone": zone,
    }
    return [
        PresetSearch(
            _("All binds of a whole resource space this quarter"), trail_url(**binds)
        ),
        PresetSearch(_("The most frequent error codes"), reverse("audit:codes")),
        PresetSearch(_("Outside working hours"), trail_url(outside="on")),
        PresetSearch(_("What was not allowed"), trail_url(outcome="denied")),
        *permission_searches(),
    ]


def trail_url(**filters: str) -> str:
    return f"{reverse('audit:events')}?{urlencode(filters)}"


def permission_searches() -> list[PresetSearch]:
    try:
        url = reverse("accounts:rights")
    except NoReverseMatch:
        return []
    return [
        PresetSearch(_("Who can bind policies"), f"{url}?right=policies.bind_policy")
    ]


def quarter_start(now: datetime) -> datetime:
    month = now.month - (now.month - 1) % 3
    return now.replace(month=month, day=1, hour=0, minute=0, second=0, microsecond=0)


def working_hours_text() -> str:
    days, start, end = settings.WORKING_HOURS
    names = [str(WEEKDAYS_ABBR[day]) for day in sorted(days)]
    in_a_row = len(days) > 2 and max(days) - min(days) + 1 == len(days)
    spoken = f"{names[0]}-{names[-1]}" if in_a_row else ", ".join(names)
    return f"{spoken} {start:%H:%M}-{end:%H:%M}, {settings.TIME_ZONE}"


def frequent_error_codes(user: AnyUser) -> tuple[list[tuple[str, int]], bool]:
    """Of the newest failures that somebody may see, the most frequent first; and whether there are older."""
    newest = (
        Outcome.objects.filter(outcome="failed")
        .exclude(outcome="")
        .order_by("-event_id")
    )
    rows = list(newest.values_list("event_id", "code")[: MAX_FAILURES_COUNTED + 1])
    own = visible_events(user)
    seen = None if own is None else visible_ids({event for event, _code in rows}, own)
    counts = Counter(
        code
        for event, code in rows[:MAX_FAILURES_COUNTED]
        if seen is None or event in seen
    )
    return counts.most_common(), len(rows) > MAX_FAILURES_COUNTED


def visible_ids(ids: set[int], own: Q) -> set[int]:
    return set(Event.objects.filter(own, id__in=ids).values_list("id", flat=True))
