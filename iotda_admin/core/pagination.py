"""Pages by key, not by offset: the last page costs what the first does, and rows do not slip between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.http import HttpRequest

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Page[T]:
    items: Sequence[T]
    next: str
    previous: str


def page_of[T: Model](
    rows: QuerySet[T],
    request: HttpRequest,
    *,
    key: str = "pk",
    descending: bool = False,
    size: int = PAGE_SIZE,
) -> Page[T]:
    """The page that ?after= or ?before= names; a key that makes no sense gives the first page."""
    field = rows.model._meta.pk if key == "pk" else rows.model._meta.get_field(key)
    after, before = (
        valid(field, request.GET.get(name, "")) for name in ("after", "before")
    )

    def at(after: str, before: str) -> Page[T]:
        backwards = bool(before)
        edge = before or after
        up = backwards == descending
        beyond = (
            rows.filter(**{f"{key}__{'gt' if up else 'lt'}": edge}) if edge else rows
        )
        found = list(beyond.order_by(key if up else f"-{key}")[: size + 1])
        more, items = len(found) > size, found[:size]
        if backwards:
            items.reverse()
        earlier = bool(items) and (more if backwards else bool(after))
        later = bool(items) and (backwards or more)
        return Page(
            items,
            next=link(request, after=getattr(items[-1], key)) if later else "",
            previous=link(request, before=getattr(items[0], key)) if earlier else "",
        )

    page = at(after, before)
    # Past either end, for rows have gone or the key made no sense: from the start again.
    return page if page.items or not (after or before) else at("", "")


def valid(field: object, value: str) -> str:
    if value and field.get_internal_type().endswith(("IntegerField", "AutoField")):  # type: ignore[attr-defined]
        return value if value.isascii() and value.isdigit() and len(value) < 19 else ""
    return "" if "\0" in value else value[:200]


def link(request: HttpRequest, **edge: object) -> str:
    query = [
        (k, v) for k, v in request.GET.items() if k not in ("after", "before") and v
    ]
    return "?" + urlencode([*query, *((k, str(v)) for k, v in edge.items())])
