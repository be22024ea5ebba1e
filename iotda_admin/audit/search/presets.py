"""Links to frequent searches, and the most frequent error codes."""

from collections import Counter
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.scope import AnyUser
from iotda_admin.audit.models import Event, Outcome
from iotda_admin.audit.search.filters import OUTCOMES_OF_REQUESTS
from iotda_admin.audit.search.query import visible_events

# Error codes are counted among this many newest failures.
MAX_FAILURES_COUNTED = 10_000


def preset_searches() -> list[tuple[Any, str]]:
    """Return the label and the URL of each link."""
    now = timezone.localtime()
    quarter = now.month - (now.month - 1) % 3
    binds = {
        "verb": "policy.bind",
        "whole": "on",
        "kind": OUTCOMES_OF_REQUESTS,
        "since": f"{now.year}-{quarter:02}-01T00:00",
        "zone": timezone.get_current_timezone_name(),
    }
    holders = f"{reverse('accounts:rights')}?right=policies.bind_policy"
    return [
        (_("All binds of a whole resource space this quarter"), trail_url(**binds)),
        (_("The most frequent error codes"), reverse("audit:codes")),
        (_("Outside working hours"), trail_url(outside="on")),
        (_("Denied requests"), trail_url(outcome="denied")),
        (_("Who can bind policies"), holders),
    ]


def trail_url(**filters: str) -> str:
    return f"{reverse('audit:events')}?{urlencode(filters)}"


def working_hours_text() -> str:
    days, start, end = settings.WORKING_HOURS
    names = [str(WEEKDAYS_ABBR[day]) for day in sorted(days)]
    consecutive = len(days) > 2 and max(days) - min(days) + 1 == len(days)
    text = f"{names[0]}-{names[-1]}" if consecutive else ", ".join(names)
    return f"{text} {start:%H:%M}-{end:%H:%M}, {settings.TIME_ZONE}"


def frequent_error_codes(user: AnyUser) -> tuple[list[tuple[str, int]], bool]:
    """Count the codes of the newest failures that the user may see.

    Return the codes with their counts, the most frequent first, and whether there are
    older failures.
    """
    # The second condition lets the database use the partial index.
    newest = Outcome.objects.filter(outcome="failed").exclude(outcome="")
    columns = newest.order_by("-event_id").values_list("event_id", "code")
    rows = list(columns[: MAX_FAILURES_COUNTED + 1])
    older = len(rows) > MAX_FAILURES_COUNTED
    rows = rows[:MAX_FAILURES_COUNTED]
    if visible := visible_events(user):
        events = Event.objects.filter(visible, pk__in={event for event, _code in rows})
        ids = set(events.values_list("pk", flat=True))
        rows = [row for row in rows if row[0] in ids]
    return Counter(code for _event, code in rows).most_common(), older
