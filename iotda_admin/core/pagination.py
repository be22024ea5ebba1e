"""Keyset pagination: every page costs the same, and no row slips between two pages."""

from collections.abc import Sequence
from dataclasses import dataclass
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
    after, before = (
        valid_key(field, request.GET.get(name, "")) for name in ("after", "before")
    )

    backwards = bool(before)
    ascending = backwards == descending
    ordered = rows.order_by(key if ascending else f"-{key}")
    if edge := before or after:
        ordered = ordered.filter(**{f"{key}__{'gt' if ascending else 'lt'}": edge})
    found = list(ordered[: size + 1])
    if edge and not found:
        # Past either end, because rows are gone or the key was invalid: the first page.
        backwards, after = False, ""
        found = list(rows.order_by(f"-{key}" if descending else key)[: size + 1])
    more, items = len(found) > size, found[:size]
    if backwards:
        items.reverse()
    earlier = more if backwards else after
    later = items and (backwards or more)
    return Page(
        items,
        next=page_link(request, after=getattr(items[-1], key)) if later else "",
        previous=page_link(request, before=getattr(items[0], key)) if earlier else "",
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
