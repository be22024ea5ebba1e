"""For each filter the ids of its events, in order, from an index alone. A search walks along one of these
lists and looks each event up in the others, so it never reads more of the trail than it must.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from django.db.models import CharField, F, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Upper
from django.db.models.lookups import Exact, In

from iotda_admin.audit.models import Event, Outcome

# Beyond any id of an event.
END_ID = 2**62


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the trail, without its two ends, and the way it is read."""

    low: int = 0
    high: int = END_ID
    newest_first: bool = True

    def beyond(self, id: int) -> "Span":
        return (
            replace(self, high=min(self.high, id))
            if self.newest_first
            else replace(self, low=max(self.low, id))
        )


class IdSource(Protocol):
    def ids(self, span: Span, limit: int) -> list[int]: ...


class IndexedIds(NamedTuple):
    """By an index of the database; several queries where a filter is one of several values."""

    rows: Sequence[QuerySet[Any]]
    key: str = "id"

    def ids(self, span: Span, limit: int) -> list[int]:
        found: set[int] = set()
        for rows in self.rows:
            part = rows.filter(
                **{f"{self.key}__gt": span.low, f"{self.key}__lt": span.high}
            )
            order = f"-{self.key}" if span.newest_first else self.key
            found.update(
                part.order_by(order).values_list(self.key, flat=True).distinct()[:limit]
            )
        return sorted(found, reverse=span.newest_first)[:limit]


class KnownIds(NamedTuple):
    """At hand, in rising order."""

    known: Sequence[int]

    def ids(self, span: Span, limit: int) -> list[int]:
        part = self.known[
            bisect_right(self.known, span.low) : bisect_left(self.known, span.high)
        ]
        return [*(reversed(part) if span.newest_first else part)][:limit]


class Filter(NamedTuple):
    """One filter as a list, and as a question about an event that is at hand."""

    listed: IdSource
    check: Any


def by_column(column: str, *values: Any) -> Filter:
    rows = [Event.objects.filter(**{column: value}) for value in values]
    return Filter(IndexedIds(rows), In(unindexed(F(column)), values))


def by_ticket(ticket: str) -> Filter:
    same = Upper(Value(ticket))
    rows = Event.objects.alias(upper=Upper("ticket")).filter(upper=same)
    return Filter(IndexedIds([rows]), Exact(unindexed(Upper("ticket")), same))


def by_operation(number: int) -> Filter:
    return Filter(
        IndexedIds([Event.objects.filter(operation=number)]), Q(operation=number)
    )


def by_actor(id: int) -> Filter:
    return Filter(IndexedIds([Event.objects.filter(actor_id=id)]), Q(actor_id=id))


def by_flag(**flag: Any) -> Filter:
    return Filter(IndexedIds([Event.objects.filter(**flag)]), Q(**flag))


def by_target(column: str, value: str) -> IndexedIds:
    rows = Outcome.objects.filter(**{column: value})
    # The index leaves the empty ones out, and is taken only by who says so too.
    return IndexedIds(
        [rows if column == "target_id" else rows.exclude(**{column: ""})], "event_id"
    )


def unindexed(column: Any) -> Any:
    """What is looked up for a few events must not tempt the database to walk along this column instead."""
    return Coalesce(column, Value(""), output_field=CharField())


def all_event_ids() -> IndexedIds:
    return IndexedIds([Event.objects.all()])
