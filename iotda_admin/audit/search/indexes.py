"""The event ids of each filter, in order, read from one database index.

A search walks along the ids of one filter and checks those events against the others,
so it reads as little of the trail as possible.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db.models import CharField, F, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Upper
from django.db.models.lookups import In

from iotda_admin.audit.models import Event, Outcome
from iotda_admin.core.search import spellings

# Greater than any event id.
END_ID = 2**62


class Span(NamedTuple):
    """The events between two ids, both exclusive, and the direction to read them in."""

    low: int = 0
    high: int = END_ID
    newest_first: bool = True

    def after(self, id: int) -> "Span":
        """Return the rest of the span once it has been read up to an id."""
        if self.newest_first:
            return self._replace(high=id)
        return self._replace(low=id)


class IndexedIds(NamedTuple):
    """Ids from a database index, with one query for each value of the filter."""

    rows: Sequence[QuerySet[Any]]
    key: str = "id"

    def ids(self, span: Span, limit: int) -> list[int]:
        found: set[int] = set()
        order = f"-{self.key}" if span.newest_first else self.key
        for rows in self.rows:
            inside = {f"{self.key}__gt": span.low, f"{self.key}__lt": span.high}
            ids = rows.filter(**inside).values_list(self.key, flat=True).distinct()
            found.update(ids.order_by(order)[:limit])
        return sorted(found, reverse=span.newest_first)[:limit]


class KnownIds(NamedTuple):
    """Ids that are already in memory, ascending."""

    sorted_ids: Sequence[int]

    def ids(self, span: Span, limit: int) -> list[int]:
        ids = [id for id in self.sorted_ids if span.low < id < span.high]
        return sorted(ids, reverse=span.newest_first)[:limit]


type IdSource = IndexedIds | KnownIds


class Filter(NamedTuple):
    """One filter: as a source of event ids, and as a condition on an event.

    The source implies the condition.
    """

    source: IdSource | None = None
    condition: Any = None


def by_column(column: str, *values: Any) -> Filter:
    rows = [Event.objects.filter(**{column: value}) for value in values]
    return Filter(IndexedIds(rows), In(unindexed(F(column)), values))


def by_name(column: str, name: str) -> Filter:
    """Filter by a column whose index has its values in upper case."""
    names = [Upper(Value(each)) for each in spellings(name)]
    events = Event.objects.alias(upper=Upper(column))
    rows = [events.filter(upper=each) for each in names]
    return Filter(IndexedIds(rows), In(unindexed(Upper(column)), names))


def by_value(**value: Any) -> Filter:
    return Filter(IndexedIds([Event.objects.filter(**value)]), Q(**value))


def by_target(column: str, value: str) -> IndexedIds:
    rows = Outcome.objects.filter(**{column: value})
    # A partial index without empty values: used only if the query excludes them too.
    return IndexedIds(
        [rows if column == "target_id" else rows.exclude(**{column: ""})], "event_id"
    )


def unindexed(column: Any) -> Any:
    """Keep the database from walking along the index of a column to check a few events."""
    return Coalesce(column, Value(""), output_field=CharField())
