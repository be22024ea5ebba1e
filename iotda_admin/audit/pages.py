"""One page of search results, with the first targets of each event."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest

from iotda_admin.audit.models import Event
from iotda_admin.audit.search.indexes import END_ID, Span
from iotda_admin.audit.search.query import SearchPage, TrailSearch, first_targets
from iotda_admin.core.pagination import PAGE_SIZE, page_link, valid_key

# The most targets of an event in the list; the page of the event shows all.
TARGETS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class TrailPage:
    items: Sequence[Event]
    next: str
    previous: str
    # How far the search got, if it stopped before it filled the page.
    searched_to: datetime | None = None


def trail_page(search: TrailSearch, request: HttpRequest) -> TrailPage:
    """Return the page after ?after= or before ?before=, as in ``core.pagination``."""
    after, before = (id_parameter(request, name) for name in ("after", "before"))
    backwards = before is not None
    high = END_ID if after is None or backwards else after
    found = search.page(Span(before or 0, high, not backwards), PAGE_SIZE)
    if not found.ids and not found.searched_to and (backwards or after is not None):
        # Past either end: show the first page.
        after, backwards, found = None, False, search.page(Span(), PAGE_SIZE)
    ids = found.ids[::-1] if backwards else found.ids
    older = bool(ids) if backwards else found.more
    newer = found.more if backwards else after is not None and bool(ids)
    return TrailPage(
        events_with_first_targets(search, ids),
        next=page_link(request, after=edge(found, ids, -1, backwards)) if older else "",
        previous=page_link(request, before=edge(found, ids, 0, not backwards))
        if newer
        else "",
        searched_to=time_of_event(found.searched_to) if found.searched_to else None,
    )


def edge(found: SearchPage, ids: Sequence[int], end: int, turned: bool) -> int:
    """Return the id to continue from: the outermost shown, or how far the search got."""
    return ids[end] if turned or not found.searched_to else found.searched_to


def id_parameter(request: HttpRequest, name: str) -> int | None:
    value = valid_key(Event._meta.pk, request.GET.get(name, ""))
    return int(value) if value else None


def events_with_first_targets(search: TrailSearch, ids: Sequence[int]) -> list[Any]:
    events: list[Any] = list(Event.objects.filter(id__in=ids).order_by("-id"))
    targets = first_targets(ids, search.target_filters, TARGETS_SHOWN + 1)
    for event in events:
        event.targets = targets[event.pk][:TARGETS_SHOWN]
        event.more = len(targets[event.pk]) > TARGETS_SHOWN
    return events


def time_of_event(seq: int) -> datetime | None:
    return Event.objects.filter(pk=seq).values_list("at", flat=True).first()
