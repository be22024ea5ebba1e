"""One page of what was found, with the first targets of each event."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest

from iotda_admin.audit.models import Event
from iotda_admin.audit.search.indexes import END_ID, Span
from iotda_admin.audit.search.query import SearchPage, TrailSearch, first_targets
from iotda_admin.core.pagination import PAGE_SIZE, page_link, valid_key

# Targets of an event that stand in the list; the others stand on the event's own page.
SHOWN = 20


@dataclass(frozen=True, slots=True)
class TrailPage:
    items: Sequence[Event]
    next: str
    previous: str
    # Nothing more was found up to here; further on there may be.
    looked_to: datetime | None = None


def trail_page(search: TrailSearch, request: HttpRequest) -> TrailPage:
    """The page that ?after= or ?before= names, as iotda_admin.core.pagination has it."""
    after, before = (number(request, name) for name in ("after", "before"))
    backwards = before is not None
    span = (
        Span(low=before)
        if before is not None
        else Span(high=END_ID if after is None else after)
    )
    found = search.page(Span(span.low, span.high, not backwards), PAGE_SIZE)
    if not found.ids and not found.looked_to and (backwards or after is not None):
        # Past either end: from the start again.
        after, backwards, found = None, False, search.page(Span(), PAGE_SIZE)
    ids = found.ids[::-1] if backwards else found.ids
    older = (backwards and bool(ids)) or (found.more and not backwards)
    newer = found.more if backwards else after is not None and bool(ids)
    return TrailPage(
        events_with_first_targets(search, ids),
        next=page_link(request, after=edge(found, ids, -1, backwards)) if older else "",
        previous=page_link(request, before=edge(found, ids, 0, not backwards))
        if newer
        else "",
        looked_to=time_of(found.looked_to),
    )


def edge(found: SearchPage, ids: Sequence[int], end: int, other_way: bool) -> int:
    """Where to go on: the last one shown, or how far was looked."""
    return ids[end] if other_way or not found.looked_to else found.looked_to


def number(request: HttpRequest, name: str) -> int | None:
    value = valid_key(Event._meta.pk, request.GET.get(name, ""))
    return int(value) if value else None


def events_with_first_targets(search: TrailSearch, ids: Sequence[int]) -> list[Event]:
    events = list(Event.objects.filter(id__in=ids).order_by("-id"))
    targets = first_targets(ids, search.of_targets, SHOWN + 1)
    for event in events:
        told: Any = event
        told.targets, told.more = (
            targets[event.pk][:SHOWN],
            len(targets[event.pk]) > SHOWN,
        )
    return events


def time_of(seq: int) -> datetime | None:
    return (
        Event.objects.filter(pk=seq).values_list("at", flat=True).first()
        if seq
        else None
    )
