"""Limit how many events the denied requests of one user append.

The first in a minute have events of their own. The others are counted in a row, which
becomes one event: with the first denied request after the minute, or by the worker.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from iotda_admin.audit.canonical import storable
from iotda_admin.audit.chain import NewEvent, append_events
from iotda_admin.audit.models import DenialCount, Event

MINUTE = timedelta(minutes=1)
OWN_EVENTS = 10
# The most different values of each kind that the event of the counted requests names.
NAMED = {"addresses": 50, "requests": 50, "targets": 200}
# The columns of an event that belong to its user, not to what was denied.
USER_COLUMNS = ("actor_id", "actor_name", "role", "source", "address", "request_id")
# The columns that say what was denied, before the summary.
REQUEST_COLUMNS = ("verb", "target_type", "policy_id", "ticket", "reason")


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
    space = columns.get("space", "")
    if row.columns and row.columns["space"] != space:
        space = "*"
    row.columns = {
        "space": space,
        **{name: columns[name] for name in USER_COLUMNS if name in columns},
    }
    row.until = timezone.now()
    targets = storable([list(target) for target in event.targets])
    row.facts["count"] = row.requests - OWN_EVENTS
    # An event names only some of the targets of a request.
    count = columns.get("detail", {}).get("count", len(targets))
    row.facts["target_count"] = row.facts.get("target_count", 0) + count
    add_values(row, "addresses", [columns.get("address") or columns.get("source", "")])
    add_values(row, "requests", [request_text(columns)])
    add_values(row, "targets", targets)


def request_text(columns: dict[str, Any]) -> str:
    """Return what was requested, in one line: method or verb, ticket, reason, summary."""
    method = columns.get("detail", {}).get("method", "")
    parts = [method, *(columns.get(name, "") for name in REQUEST_COLUMNS)]
    return " ".join([*filter(None, parts), columns["summary"]])


def add_values(row: DenialCount, kind: str, values: Iterable[Any]) -> None:
    known = row.facts.setdefault(kind, [])
    for value in values:
        if value not in known and len(known) < NAMED[kind]:
            known.append(value)


def counted_event(row: DenialCount) -> list[NewEvent]:
    """Return the event of the requests that have none of their own, if there are any."""
    if not row.facts:
        return []
    detail = row.facts | {
        "since": in_utc(row.since),
        "until": in_utc(row.until or row.since),
    }
    targets = [tuple(target) for target in detail.pop("targets")]
    columns = {
        **row.columns,
        "kind": Event.Kind.DENIED,
        "outcome": "denied",
        "summary": f"{detail['count']} more denied requests: {detail['requests'][0]}",
        "detail": detail,
    }
    return [NewEvent(columns, targets)]


def in_utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def record_counted_denials() -> None:
    """Append the events of minutes that have ended; the worker calls this."""
    now = timezone.now()
    counted = DenialCount.objects.filter(requests__gt=OWN_EVENTS)
    for actor_id in counted.values_list("pk", flat=True):
        with transaction.atomic():
            # Another process can have appended it meanwhile.
            row = counted.select_for_update().filter(pk=actor_id).first()
            if row and abs(now - row.since) > MINUTE:
                append_events(counted_event(row))
                # The row stays: a request that has read it must find it.
                DenialCount(actor_id=actor_id, since=now).save()
