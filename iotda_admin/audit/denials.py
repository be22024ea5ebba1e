"""Limit how many events the denied requests of one user append.

The first in a minute have events of their own. The others are counted in a row, which
becomes one event: with the first denied request after the minute, or by the worker.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from iotda_admin.audit.canonical import storable
from iotda_admin.audit.chain import NewEvent, append_events
from iotda_admin.audit.models import DenialCount, Event

MINUTE = timedelta(minutes=1)
OWN_EVENTS = 10
# What the event of the counted requests names, at most.
NAMED_REQUESTS = 20
NAMED_TARGETS = 200
# The columns of an event that belong to its user, not to what was denied.
USER_COLUMNS = ("actor_id", "actor_name", "role", "source", "address", "request_id")


@transaction.atomic
def append_denial(event: NewEvent) -> None:
    """Append the event of a denied request, or count the request."""
    now = timezone.now()
    row, _new = DenialCount.objects.select_for_update().get_or_create(
        # 0 counts those without a user.
        actor_id=event.columns.get("actor_id") or 0,
        defaults={"since": now},
    )
    events = []
    # A start in the future is from before the clock was set back.
    if abs(now - row.since) > MINUTE:
        events = counted_event(row)
        row = DenialCount(actor_id=row.actor_id, since=now)
    row.requests += 1
    if row.requests <= OWN_EVENTS:
        events.append(event)
    else:
        count_denial(row, event)
    row.save()
    if events:
        append_events(events)


def count_denial(row: DenialCount, event: NewEvent) -> None:
    columns = storable(event.columns)
    summary, space = columns["summary"], columns.get("space", "")
    if row.columns and row.columns["space"] != space:
        space = "*"
    row.columns = {
        "space": space,
        "summary": summary,
        **{name: columns[name] for name in USER_COLUMNS if name in columns},
    }
    row.until = timezone.now()
    if summary not in row.summaries and len(row.summaries) < NAMED_REQUESTS:
        row.summaries.append(summary)
    for target in storable([list(target) for target in event.targets]):
        if target not in row.targets and len(row.targets) < NAMED_TARGETS:
            row.targets.append(target)


def counted_event(row: DenialCount) -> list[NewEvent]:
    """Return the event of the requests that have none of their own, if there are any."""
    more = row.requests - OWN_EVENTS
    if more <= 0:
        return []
    columns: dict[str, Any] = {
        **row.columns,
        "kind": Event.Kind.DENIED,
        "outcome": "denied",
        "summary": f"{more} more denied requests, the last: {row.columns['summary']}",
        "detail": {
            "count": more,
            "since": in_utc(row.since),
            "until": in_utc(row.until or row.since),
            "requests": row.summaries,
        },
    }
    return [NewEvent(columns, [tuple(target) for target in row.targets])]


def in_utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def record_counted_denials() -> None:
    """Append the events of minutes that have ended; the worker calls this."""
    now = timezone.now()
    for actor_id in DenialCount.objects.values_list("pk", flat=True):
        with transaction.atomic():
            rows = DenialCount.objects.select_for_update().filter(pk=actor_id)
            row = rows.first()
            if row and abs(now - row.since) > MINUTE:
                if events := counted_event(row):
                    append_events(events)
                row.delete()
