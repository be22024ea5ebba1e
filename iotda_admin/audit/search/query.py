"""Search the audit trail.

Events are read newest first and never counted, so a page costs the same however long
the trail is. The most selective filter leads: a bounded number of its events is checked
against the other filters.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, Q

from iotda_admin.access.scope import AnyUser, user_spaces
from iotda_admin.audit import hooks
from iotda_admin.audit.models import Event, Outcome
from iotda_admin.audit.search.filters import (
    DENIED,
    KINDS_WITH_OUTCOMES,
    OUTCOMES_OF_REQUESTS,
    AuditFilterForm,
)
from iotda_admin.audit.search.indexes import (
    END_ID,
    Filter,
    IdSource,
    IndexedIds,
    KnownIds,
    Span,
    by_column,
    by_name,
    by_target,
    by_value,
)
from iotda_admin.audit.search.words import events_with_words, reason_matcher

# One page checks at most this many events of the leading filter, then says how far it got.
MAX_SEARCHED = 20_000
# The first ids of each filter, which show how selective it is.
PROBE_SIZE = 500
# The first batch is small; each next one is twice as large.
FIRST_BATCH, LARGEST_BATCH = 64, 4096
EXPORT_BATCH = 2048
# A clock can be set back by this much.
CLOCK_SLACK = timedelta(minutes=10)
TARGET_FILTERS = {"target": "target_id", "outcome": "outcome", "code": "code"}


class SearchPage(NamedTuple):
    """The ids of one page, and whether the search ended with it."""

    ids: list[int]
    # Whether there may be more events after these.
    more: bool = False
    # The last event checked, if the search stopped before the page was full; else 0.
    searched_to: int = 0


class TrailSearch:
    """The events that match the filters and that the user may see."""

    def __init__(self, form: AuditFilterForm, user: AnyUser) -> None:
        self.valid, self.filters = form.is_valid(), form.active
        self.target_filters = target_filters(self.filters)
        reason = self.filters.get("reason", "")
        self.matches_reason = reason_matcher(reason)
        self.criteria = [
            *event_filters(self.filters),
            *by_same_target(self.target_filters),
            *by_reason(reason),
            *by_scope(user),
        ]
        self.since, self.until = self.filters.get("since"), self.filters.get("until")
        self.bounds = span_between(self.since, self.until)

    def page(self, span: Span, size: int) -> SearchPage:
        """Return the next matching events; the number of events checked is bounded."""
        found: list[int] = []
        searched = 0
        for ids in self.batches(span):
            found += self.matching(ids)
            searched += len(ids)
            if len(found) > size:
                return SearchPage(found[:size], more=True)
            if searched >= MAX_SEARCHED:
                return SearchPage(found, more=True, searched_to=ids[-1])
        return SearchPage(found)

    def every(self, span: Span) -> Iterator[list[int]]:
        """Yield all matching events in batches, for an export."""
        for ids in self.batches(span, EXPORT_BATCH):
            if matching := self.matching(ids):
                yield matching

    def batches(self, span: Span, largest: int = LARGEST_BATCH) -> Iterator[list[int]]:
        if not self.valid:
            return
        low, high = max(span.low, self.bounds.low), min(span.high, self.bounds.high)
        span = Span(low, high, span.newest_first)
        self.leader = self.most_selective(span)
        size = min(FIRST_BATCH, largest)
        while ids := self.leader.ids(span, size):
            yield ids
            if len(ids) < size:
                return
            span, size = span.after(ids[-1]), min(2 * size, largest)

    def most_selective(self, span: Span) -> IdSource:
        """Return the source whose next ids reach furthest."""
        sources = [each.source for each in self.criteria if each.source]
        if len(sources) < 2:
            return sources[0] if sources else IndexedIds([Event.objects.all()])

        def reach(source: IdSource) -> tuple[int, int]:
            ids = source.ids(span, PROBE_SIZE)
            if len(ids) < PROBE_SIZE:
                return -1, len(ids)
            return 0, ids[-1] if span.newest_first else -ids[-1]

        return min(sources, key=reach)

    def matching(self, ids: list[int]) -> list[int]:
        conditions = [
            condition
            for source, condition in self.criteria
            if condition and source is not self.leader
        ]
        if not conditions and not self.filters.keys() & {"since", "until", "reason"}:
            return ids
        rows = Event.objects.filter(*conditions, id__in=ids).order_by()
        matching = {
            id
            for id, at, reason in rows.values_list("id", "at", "reason")
            if self.matches(at, reason)
        }
        return [id for id in ids if id in matching]

    def matches(self, at: datetime, reason: str) -> bool:
        if (self.since and at < self.since) or (self.until and at >= self.until):
            return False
        return self.matches_reason(reason)


def by_same_target(filters: dict[str, str]) -> list[Filter]:
    """Require one target of the event to match all filters on targets."""
    if not filters:
        return []
    same_target = Exists(Outcome.objects.filter(event=OuterRef("pk"), **filters))
    sources = [by_target(*item) for item in filters.items()]
    if len(sources) == 1:
        return [Filter(sources[0], same_target)]
    return [*map(Filter, sources), Filter(condition=same_target)]


def by_reason(text: str) -> list[Filter]:
    """Return the events that may match, unless every word is common or there is none."""
    ids = events_with_words(text)
    return [] if ids is None else [Filter(KnownIds(ids))]


def by_scope(user: AnyUser) -> Iterator[Filter]:
    """Keep what ``visible_events`` allows, and start from an index if there is one."""
    if user.has_perm("audit.view_event"):
        visible = visible_events(user)
    else:
        # By id, because names can change and be used again.
        yield by_value(actor_id=user.pk or 0)
        visible = own_events_in(user_spaces(user))
    if visible:
        yield Filter(condition=visible)


def visible_events(user: AnyUser) -> Q:
    """Return the condition of the events that a user may see; empty if all.

    All users see their own events. Users who may read the trail also see the events of
    others in their resource spaces.
    """
    spaces = user_spaces(user)
    own = Q(actor_id=user.pk or 0) & own_events_in(spaces)
    if not user.has_perm("audit.view_event"):
        return own
    return Q() if spaces is None else own | events_in(spaces)


def events_in(spaces: frozenset[str]) -> Q:
    return Q(space__in=["", *sorted(spaces)])


def own_events_in(spaces: frozenset[str] | None) -> Q:
    """Return the condition of a user's own events in their current resource spaces.

    Events elsewhere are hidden even if the user had the space before, as operations
    are. An event about several spaces is visible if it has no operation and no targets,
    or if its operation is entirely in these spaces.
    """
    if spaces is None:
        return Q()
    no_targets = ~Exists(Outcome.objects.filter(event=OuterRef("pk")))
    inside = ~hooks.operations.reach_outside(spaces)
    return events_in(spaces) | Q(space="*") & (
        Q(operation=None) & no_targets | Q(operation__isnull=False) & inside
    )


def event_filters(active: dict[str, Any]) -> Iterator[Filter]:
    for name, value in active.items():
        match name:
            case "actor":
                yield by_name("actor_name", value)
            case "kind" if value == OUTCOMES_OF_REQUESTS:
                yield by_column("kind", *KINDS_WITH_OUTCOMES)
            case "kind" | "verb" | "source":
                yield by_column(name, value)
            case "outcome" if value == DENIED:
                yield by_column("kind", *Event.DENIALS)
            case "policy":
                yield by_policy(value)
            case "ticket":
                yield by_name("ticket", value)
            case "operation":
                yield by_value(operation=value)
            case "outside":
                yield by_value(outside_hours=True)
            case "whole":
                yield by_value(target_type="app")


def by_policy(policy: str) -> Filter:
    """Filter by the id of a policy, or by its name if no event has this id."""
    if Event.objects.filter(policy_id=policy).order_by().exists():
        return by_column("policy_id", policy)
    return by_name("policy_name", policy)


def target_filters(active: dict[str, Any]) -> dict[str, str]:
    """Return the filters on targets, by column."""
    return {
        column: active[name]
        for name, column in TARGET_FILTERS.items()
        if name in active and (name, active[name]) != ("outcome", DENIED)
    }


def span_between(since: datetime | None, until: datetime | None) -> Span:
    """Return the span of all events that can be in a period.

    Ids do not follow time exactly: a clock can be set back, or be wrong for a single
    event. So the span starts before both the first event that is late enough and the
    last event that is too early, and ends likewise.
    """
    low, high = 0, END_ID
    by_time = Event.objects.order_by("at", "id").values_list("id", flat=True)
    if since:
        since -= CLOCK_SLACK
        too_early, inside = by_time.filter(at__lt=since), by_time.filter(at__gte=since)
        low = min(too_early.last() or 0, (inside.first() or END_ID) - 1)
    if until:
        until += CLOCK_SLACK
        too_late, inside = by_time.filter(at__gte=until), by_time.filter(at__lt=until)
        high = max(too_late.first() or END_ID, (inside.last() or 0) + 1)
    return Span(low, high)
