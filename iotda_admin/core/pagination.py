"""Keyset pagination: every page costs the same, and no row slips between two pages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.http import HttpRequest

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Page[T]:
    """The rows of a page, and the queries of the pages around it; empty for none."""

    items: Sequence[T]
    next: str
    previous: str


def paginate[T: Model](
    rows: QuerySet[T],
    request: HttpRequest,
    *,
    key: str = "pk",
    descending: bool = False,
    size: int = PAGE_SIZE,
) -> Page[T]:
    """Return the page that ?after= or ?before= names, or the first one."""
    field = rows.model._meta.pk if key == "pk" else rows.model._meta.get_field(key)

    def fetch(edge: str | None, backwards: bool, limit: int) -> list[T]:
        ascending = backwards == descending
        ordered = rows.order_by(key if ascending else f"-{key}")
        if edge:
            ordered = ordered.filter(**{f"{key}__{'gt' if ascending else 'lt'}": edge})
        return list(ordered[:limit])

    return turn_page(
        request, fetch, attrgetter(key), lambda text: valid_key(field, text), size
    )


def turn_page[T, E](
    request: HttpRequest,
    fetch: Callable[[E | None, bool, int], list[T]],
    edge_of: Callable[[T], object],
    read_edge: Callable[[str], E | None],
    size: int = PAGE_SIZE,
) -> Page[T]:
    """Return the page that ?after= or ?before= names, or the first one.

    fetch(edge, backwards, limit) returns the first rows beyond an edge, in the order of
    this direction; `edge_of` returns the text of a row's edge, and `read_edge` reads it.
    """
    after, before = (
        read_edge(request.GET.get(name, "")) or None for name in ("after", "before")
    )
    backwards = before is not None
    edge = before if backwards else after
    found = fetch(edge, backwards, size + 1)
    if edge is not None and not found:
        # Past either end, because rows are gone or the key was invalid: the first page.
        backwards, after = False, None
        found = fetch(None, False, size + 1)
    more, items = len(found) > size, found[:size]
    if backwards:
        items.reverse()
    earlier = more if backwards else after is not None
    later = items and (backwards or more)
    return Page(
        items,
        next=page_link(request, after=edge_of(items[-1])) if later else "",
        previous=page_link(request, before=edge_of(items[0])) if earlier else "",
    )


def valid_key(field: object, value: str) -> str:
    """Return the key, shortened; empty if the field cannot hold it."""
    if value and field.get_internal_type().endswith(("IntegerField", "AutoField")):  # type: ignore[attr-defined]
        return value if value.isascii() and value.isdigit() and len(value) < 19 else ""
    return "" if "\0" in value else value[:200]


def page_link(request: HttpRequest, **edge: object) -> str:
    query = [
        (k, v) for k, v in request.GET.items() if k not in ("after", "before") and v
    ]
    return "?" + urlencode([*query, *edge.items()])
