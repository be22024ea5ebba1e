"""One page of search results, with the first targets of each event."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Prefetch
from django.http import HttpRequest

from iotda_admin.audit.models import Event, Outcome
from iotda_admin.audit.search.indexes import END_ID, Span
from iotda_admin.audit.search.query import TrailSearch
from iotda_admin.core.pagination import PAGE_SIZE, Page, page_link, valid_key

# The most targets of an event in the list; the page of the event shows all.
TARGETS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class TrailPage(Page[Event]):
    # How far the search got, if it stopped before it filled the page.
    searched_to: datetime | None


def trail_page(search: TrailSearch, request: HttpRequest) -> TrailPage:
    """Return the page after ?after= or before ?before=, as in ``core.pagination``."""
    after, before = (
        int(valid_key(Event._meta.pk, request.GET.get(name, "")) or 0)
        for name in ("after", "before")
    )
    page = page_at(search, request, after, before)
    if page.items or page.searched_to or not (after or before):
        return page
    # Past either end: show the first page.
    return page_at(search, request, 0, 0)


def page_at(
    search: TrailSearch, request: HttpRequest, after: int, before: int
) -> TrailPage:
    found = search.page(Span(before, after or END_ID, not before), PAGE_SIZE)
    # The ids that the next searches start from, in this direction and back.
    onwards = found.more and (found.searched_to or found.ids[-1])
    back = (after or before) and found.ids and found.ids[0]
    older, newer = (back, onwards) if before else (onwards, back)
    times = Event.objects.filter(pk=found.searched_to).values_list("at", flat=True)
    return TrailPage(
        events_with_first_targets(found.ids, search.target_filters),
        next=page_link(request, after=older) if older else "",
        previous=page_link(request, before=newer) if newer else "",
        searched_to=times.first() if found.searched_to else None,
    )


def events_with_first_targets(ids: list[int], filters: dict[str, str]) -> list[Any]:
    """Return the events, newest first, with the targets that match the filters."""
    targets = Outcome.objects.filter(**filters)[: TARGETS_SHOWN + 1]
    first = Prefetch("outcomes", targets, to_attr="targets")
    events: list[Any] = [*Event.objects.filter(pk__in=ids).prefetch_related(first)]
    for event in events:
        event.more = len(event.targets) > TARGETS_SHOWN
        del event.targets[TARGETS_SHOWN:]
    return events
