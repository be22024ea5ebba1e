"""Reading the trail, newest first: nothing is counted, and a page costs the same however long the trail is.

Of several filters the sparsest leads; its events are looked up in the others, a bounded number for a page.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, repeat
from typing import Any

from django.db.models import Exists, OuterRef, Q, Window
from django.db.models.functions import RowNumber

from iotda_admin.access.scope import AnyUser, user_spaces
from iotda_admin.audit import hooks
from iotda_admin.audit.models import Event, Outcome
from iotda_admin.audit.search.filters import DENIED, AuditFilterForm
from iotda_admin.audit.search.indexes import (
    END_ID,
    Filter,
    IdSource,
    KnownIds,
    Span,
    all_event_ids,
    by_actor,
    by_column,
    by_flag,
    by_operation,
    by_target,
    by_ticket,
)
from iotda_admin.audit.search.words import events_with_words, reason_matcher

# Events of the leading filter that one page looks at; then it says how far it came.
MAX_SEARCHED = 20_000
# So many of each filter tell which of them is the sparsest.
PROBE_SIZE = 500
BATCH_SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
EXPORT_BATCH = 2048
# A clock may have been set back by so much.
CLOCK_SLACK = timedelta(minutes=10)
TARGET_COLUMNS = {"target": "target_id", "outcome": "outcome", "code": "code"}
EVENT_COLUMNS = {
    "actor": "actor_name",
    "kind": "kind",
    "verb": "verb",
    "source": "source",
}


@dataclass(frozen=True, slots=True)
class SearchPage:
    ids: list[int]
    # There is more beyond them; or nothing was found up to here, and the search can go on.
    more: bool = False
    looked_to: int = 0


class TrailSearch:
    """What somebody may see of the trail and asks for."""

    def __init__(self, form: AuditFilterForm, user: AnyUser) -> None:
        self.asked = form.asked if form.is_valid() else {}
        self.possible = form.is_valid()
        self.lists: list[IdSource] = []
        self.checks: list[tuple[IdSource | None, Any]] = []
        self.said: Callable[[str], bool] | None = None
        self.of_targets = target_filters(self.asked)
        for each in filters_of(self.asked):
            self.narrow(each.listed, each.check)
        self.narrow_by_targets()
        self.narrow_by_reason(self.asked.get("reason", ""))
        self.narrow_to(user)
        self.bounds = span_between(self.asked)

    def narrow(self, listed: IdSource | None, check: Any) -> None:
        """check: what an event that another list has found is asked; None for nothing."""
        if listed is not None:
            self.lists.append(listed)
        if check is not None:
            self.checks.append((listed, check))

    def narrow_by_targets(self) -> None:
        """One and the same target of an event has all of these."""
        lists = [by_target(column, value) for column, value in self.of_targets.items()]
        own = Exists(Outcome.objects.filter(event=OuterRef("pk"), **self.of_targets))
        for each in lists:
            self.narrow(each, None)
        if lists:
            self.checks.append((lists[0] if len(lists) == 1 else None, own))

    def narrow_by_reason(self, text: str) -> None:
        if not text:
            return
        self.said = reason_matcher(text)
        known = events_with_words(text)
        if known is not None:
            self.narrow(KnownIds(known), None)

    def narrow_to(self, user: AnyUser) -> None:
        """Own events for everybody who may read some; of the others those in the user's resource spaces."""
        if not user.has_perm("audit.view_event"):
            # Not by the name: it may change, and may have been somebody else's.
            self.narrow(*by_actor(user.pk or 0))
            if (spaces := user_spaces(user)) is not None:
                self.narrow(None, own_events_in_spaces(spaces))
        elif (seen := visible_events(user)) is not None:
            self.narrow(None, seen)

    def page(self, span: Span, size: int) -> SearchPage:
        """The next events of the span; what they are asked for is bounded."""
        found: list[int] = []
        looked = 0
        for ids in self.pieces(span):
            found += self.matching(ids)
            looked += len(ids)
            if len(found) > size:
                return SearchPage(found[:size], more=True)
            if looked >= MAX_SEARCHED:
                return SearchPage(found, more=True, looked_to=ids[-1])
        return SearchPage(found)

    def every(self, span: Span) -> Iterator[list[int]]:
        """All of them, in pieces: for an export."""
        for ids in self.pieces(span, EXPORT_BATCH):
            if good := self.matching(ids):
                yield good

    def pieces(self, span: Span, most: int = BATCH_SIZES[-1]) -> Iterator[list[int]]:
        if not self.possible:
            return
        span = Span(
            max(span.low, self.bounds.low),
            min(span.high, self.bounds.high),
            span.newest_first,
        )
        self.leader = self.sparsest(span)
        sizes = (min(each, most) for each in chain(BATCH_SIZES, repeat(most)))
        size = next(sizes)
        while ids := self.leader.ids(span, size):
            yield ids
            if len(ids) < size:
                return
            span, size = span.beyond(ids[-1]), next(sizes)

    def sparsest(self, span: Span) -> IdSource:
        """The one whose next events reach the furthest."""
        if len(self.lists) < 2:
            return self.lists[0] if self.lists else all_event_ids()

        def reach(each: IdSource) -> tuple[int, int]:
            ids = each.ids(span, PROBE_SIZE)
            ended = len(ids) < PROBE_SIZE
            return (
                (-1, len(ids))
                if ended
                else (0, ids[-1] if span.newest_first else -ids[-1])
            )

        return min(self.lists, key=reach)

    def matching(self, ids: list[int]) -> list[int]:
        checks = [
            check
            for listed, check in self.checks
            if listed is None or listed is not self.leader
        ]
        exact = "since" in self.asked or "until" in self.asked
        if not checks and not exact and not self.said:
            return ids
        rows = Event.objects.filter(*checks, id__in=ids).order_by()
        good = {
            id
            for id, at, reason in rows.values_list("id", "at", "reason")
            if self.meant(at, reason)
        }
        return [id for id in ids if id in good]

    def meant(self, at: Any, reason: str) -> bool:
        since, until = self.asked.get("since"), self.asked.get("until")
        in_time = not (since and at < since) and not (until and at >= until)
        return in_time and (self.said is None or self.said(reason))


def visible_events(user: AnyUser) -> Q | None:
    """What somebody may see of the trail; None: all of it."""
    own, spaces = Q(actor_id=user.pk or 0), user_spaces(user)
    own = own if spaces is None else own & own_events_in_spaces(spaces)
    if not user.has_perm("audit.view_event"):
        return own
    return None if spaces is None else own | events_in_spaces(spaces)


def events_in_spaces(spaces: frozenset[str]) -> Q:
    return Q(space__in=["", *sorted(spaces)])


def own_events_in_spaces(spaces: frozenset[str]) -> Q:
    """Of what somebody did themselves: as with operations, what is elsewhere does not exist for them, even
    if it was theirs once. Of several spaces what names no target, or an operation that is all in theirs."""
    nameless = Q(operation=None) & ~Exists(Outcome.objects.filter(event=OuterRef("pk")))
    return events_in_spaces(spaces) | Q(space="*") & (
        nameless | Q(operation__isnull=False) & ~hooks.operations.reach_outside(spaces)
    )


def filters_of(asked: dict[str, Any]) -> Iterator[Filter]:
    for name, column in EVENT_COLUMNS.items():
        if name in asked:
            yield by_column(column, asked[name])
    if asked.get("outcome") == DENIED:
        yield by_column("kind", *Event.DENIALS)
    if "policy" in asked:
        yield by_policy(asked["policy"])
    if "ticket" in asked:
        yield by_ticket(asked["ticket"])
    if "operation" in asked:
        yield by_operation(asked["operation"])
    if "outside" in asked:
        yield by_flag(outside_hours=True)
    if "whole" in asked:
        yield by_flag(target_type="app")


def by_policy(policy: str) -> Filter:
    """Its id, or else its name."""
    is_id = Event.objects.filter(policy_id=policy).order_by().exists()
    return by_column("policy_id" if is_id else "policy_name", policy)


def target_filters(asked: dict[str, Any]) -> dict[str, str]:
    """What is asked of single targets, by column."""
    wanted = {
        column: asked[name] for name, column in TARGET_COLUMNS.items() if name in asked
    }
    return {
        column: value
        for column, value in wanted.items()
        if value != DENIED or column != "outcome"
    }


def span_between(asked: dict[str, Any]) -> Span:
    """The part of the trail that a time may be in. A clock may have been set back, or have been quite wrong
    for one event: so both the first that is late enough and the last that is too early must lie before it,
    and the other way round behind it."""
    low, high = 0, END_ID
    by_time = Event.objects.order_by("at", "id").values_list("id", flat=True)
    if since := asked.get("since"):
        too_early, enough = (
            by_time.filter(at__lt=since - CLOCK_SLACK),
            by_time.filter(at__gte=since - CLOCK_SLACK),
        )
        low = min(too_early.last() or 0, (enough.first() or END_ID) - 1)
    if until := asked.get("until"):
        too_late, enough = (
            by_time.filter(at__gte=until + CLOCK_SLACK),
            by_time.filter(at__lt=until + CLOCK_SLACK),
        )
        high = max(too_late.first() or END_ID, (enough.last() or 0) + 1)
    return Span(low, high)


def first_targets(
    ids: Iterable[int], wanted: dict[str, str], each: int
) -> dict[int, list[Outcome]]:
    """What these events say of their first targets: of those that are asked for, if any are."""
    number = Window(RowNumber(), partition_by="event_id", order_by="id")
    rows = Outcome.objects.filter(event_id__in=list(ids), **wanted).annotate(
        number=number
    )
    found: dict[int, list[Outcome]] = defaultdict(list)
    for row in rows.filter(number__lte=each).order_by("event_id", "id"):
        found[row.event_id].append(row)
    return found
