"""What was found in the trail, to take away: a table for people, lines of JSON that anybody can verify.

Written while it is read, so that memory does not grow with the trail.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone

from iotda_admin import audit, sheet
from iotda_admin.audit.chain import HASHED, canonical
from iotda_admin.audit.filters import FilterForm
from iotda_admin.audit.lists import Span
from iotda_admin.audit.models import Anchor, Event, Outcome
from iotda_admin.audit.reading import Search

FIRST = ["id", "at", "kind", "actor_name", "role", "source", "address", "operation", "verb"]
ABOUT = ["policy_id", "policy_name", "target_type"]
TARGET = ["target_id", "target_name", "outcome", "code", "message"]
LAST = [
    "reason", "ticket", "summary", "outcome", "space", "attempt", "outside_hours", "request_id",
    "upstream_id", "hash",
]  # fmt: skip
COLUMNS = [*FIRST, *ABOUT, "target_id", "target_name", "target_outcome", "code", "message", *LAST]
BEFORE = OuterRef("id") - 1
PREVIOUS = Coalesce(
    Subquery(Event.objects.filter(id=BEFORE).values("hash")),
    Subquery(Anchor.objects.filter(last=BEFORE).values("hash")),
    Value(""),
)

type Rows = Iterator[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]


def csv(request: HttpRequest, form: FilterForm) -> StreamingHttpResponse:
    """Newest first; one line for each target that an event tells of, else one for the event."""
    search, until = recorded(request, form, "CSV")
    rows = lines(search, Span(high=until))
    return sheet.download(name_of(form, "csv"), COLUMNS, rows)


def json_lines(request: HttpRequest, form: FilterForm) -> StreamingHttpResponse:
    """Oldest first, as the chain goes; one event a line with all that its hash covers."""
    search, until = recorded(request, form, "JSON lines")
    body = sheet.together(as_json(search, Span(high=until, newest_first=False)))
    response = StreamingHttpResponse(body, content_type="application/jsonl")
    response["Content-Disposition"] = f'attachment; filename="{name_of(form, "jsonl")}"'
    return response


def recorded(request: HttpRequest, form: FilterForm, what: str) -> tuple[Search, int]:
    """That somebody takes it is an event too; the file ends before it."""
    head = audit.head()
    detail = {"filters": form.words(), "head": head}
    audit.record_request("export", request, summary=f"audit trail as {what}", detail=detail)
    return Search(form, request.user), int(head.partition(":")[0]) + 1


def name_of(form: FilterForm, ending: str) -> str:
    """Says what is in it, and when it was taken."""
    asked = form.asked
    about = [str(asked[name]) for name in ("ticket", "target", "policy", "actor", "code") if name in asked]
    parts = ["audit", *about, f"{timezone.now().astimezone(UTC):%Y%m%d-%H%M}Z"]
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-")[:40] for part in parts) + f".{ending}"


def lines(search: Search, span: Span) -> Iterator[list[Any]]:
    nothing = ("",) * len(TARGET)
    middle = len(FIRST) + len(ABOUT)
    for event, targets in found(search, span, [*FIRST, *ABOUT, *LAST], search.of_targets):
        at: datetime = event[1]
        before = [event[0], f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", *event[2:middle]]
        for target in targets or [nothing]:
            yield [*before, *target, *event[middle:]]


def as_json(search: Search, span: Span) -> Iterator[str]:
    """All that is hashed, and both ends of the link, so that a single line can be verified too."""
    for event, targets in found(search, span, [*HASHED, "previous_hash", "hash"], {}):
        *row, previous, own = event
        said = dict(zip(HASHED, canonical(row), strict=True))
        said |= {"targets": targets, "previous_hash": previous, "hash": own}
        yield json.dumps(said, ensure_ascii=False) + "\n"


def found(search: Search, span: Span, columns: list[str], of_targets: dict[str, str]) -> Rows:
    """Each event with what it says of its targets."""
    order = "-" if span.newest_first else ""
    for ids in search.every(span):
        rows = Event.objects.annotate(previous_hash=PREVIOUS)
        events = rows.filter(id__in=ids).order_by(f"{order}id").values_list(*columns)
        own = Outcome.objects.filter(event_id__in=ids, **of_targets).order_by(f"{order}event_id", "id")
        told = groupby(own.values_list("event_id", *TARGET).iterator(chunk_size=2000), itemgetter(0))
        seq, targets = next(told, (0, iter(())))
        for event in events:
            mine = [said[1:] for said in targets] if seq == event[0] else []
            if seq == event[0]:
                seq, targets = next(told, (0, iter(())))
            yield event, mine
