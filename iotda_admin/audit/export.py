"""Export search results as CSV for people, or as JSON lines that anyone can verify.

Rows are streamed, so memory does not grow with the trail.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone

from iotda_admin.audit.canonical import readable_json
from iotda_admin.audit.chain import HASHED_COLUMNS, TARGET_COLUMNS
from iotda_admin.audit.head import chain_head
from iotda_admin.audit.models import Outcome
from iotda_admin.audit.record import record_export_event
from iotda_admin.audit.rows import Rows, event_rows
from iotda_admin.audit.search.filters import AuditFilterForm
from iotda_admin.audit.search.indexes import Span
from iotda_admin.audit.search.query import TrailSearch
from iotda_admin.core import csv_export

# The columns of an event in the CSV file, before and after those of a target.
BEFORE = [
    "id", "at", "kind", "actor_name", "role", "source", "address", "operation", "verb",
    "policy_id", "policy_name", "target_type",
]  # fmt: skip
AFTER = [
    "reason", "ticket", "summary", "outcome", "space", "attempt", "outside_hours",
    "request_id", "upstream_id", "hash",
]  # fmt: skip
COLUMNS = [
    *BEFORE, "target_id", "target_name", "target_outcome", "code", "message", *AFTER
]  # fmt: skip

type EventRows = Iterator[tuple[tuple[Any, ...], Rows]]


def export_csv(request: HttpRequest, form: AuditFilterForm) -> StreamingHttpResponse:
    """Return CSV, newest first: a line per target, or one for an event without any."""
    search, until = record_export(request, form, "CSV")
    rows = csv_rows(search, Span(high=until))
    return csv_export.csv_response(file_name(form, "csv"), COLUMNS, rows)


def export_json_lines(
    request: HttpRequest, form: AuditFilterForm
) -> StreamingHttpResponse:
    """Return JSON lines, oldest first: an event per line, with all that is hashed."""
    search, until = record_export(request, form, "JSON lines")
    lines = json_line_rows(search, Span(high=until, newest_first=False))
    name = file_name(form, "jsonl")
    return csv_export.file_response(name, "application/jsonl", lines)


def record_export(
    request: HttpRequest, form: AuditFilterForm, format: str
) -> tuple[TrailSearch, int]:
    """Record the export as an event. Return the search, and the id where it ends."""
    head = chain_head()
    summary = f"audit trail as {format}"
    record_export_event(request, summary, form.active, head=str(head))
    return TrailSearch(form, request.user), head.seq + 1


def file_name(form: AuditFilterForm, extension: str) -> str:
    """Return a file name with the main filters and the time."""
    names = ("ticket", "target", "policy", "actor", "code")
    values = [str(form.active[name]) for name in names if name in form.active]
    parts = ["audit", *values, f"{timezone.now().astimezone(UTC):%Y%m%d-%H%M}Z"]
    safe = [re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-")[:40] for part in parts]
    return f"{'-'.join(safe)}.{extension}"


def csv_rows(search: TrailSearch, span: Span) -> Iterator[Sequence[Any]]:
    columns = [*BEFORE, *AFTER]
    no_target = [("",) * len(TARGET_COLUMNS)]
    found = events_with_targets(search, span, columns, search.target_filters)
    for row, targets in found:
        event = dict(zip(columns, row, strict=True))
        event["at"] = f"{event['at'].replace(' ', 'T')}Z"
        event["outside_hours"] = bool(event["outside_hours"])
        values = [*event.values()]
        before, after = values[: len(BEFORE)], values[len(BEFORE) :]
        for target in targets or no_target:
            yield (*before, *target, *after)


def json_line_rows(search: TrailSearch, span: Span) -> Iterator[str]:
    """Yield each event with the previous hash, so that each line can be verified."""
    names = [*HASHED_COLUMNS, "previous_hash", "hash"]
    for row, targets in events_with_targets(search, span, names, {}):
        event = dict(zip(names, row, strict=True))
        event["detail"], event["targets"] = json.loads(event["detail"]), targets
        yield f"{readable_json(event)}\n"


def events_with_targets(
    search: TrailSearch, span: Span, columns: list[str], filters: dict[str, str]
) -> EventRows:
    """Yield each matching event with its targets that match the filters."""
    order = "-" if span.newest_first else ""
    for ids in search.every(span):
        rows = (
            Outcome.objects.filter(**id_range(ids), **filters)
            .order_by(f"{order}event_id", "id")
            .values_list("event_id", *TARGET_COLUMNS)
        )
        groups = groupby(rows.iterator(chunk_size=2000), itemgetter(0))
        seq, group = next(groups, (0, iter(())))
        for event in canonical_rows(columns, ids):
            targets = []
            if seq == event[0]:
                targets = [target[1:] for target in group]
                seq, group = next(groups, (0, iter(())))
            yield event, targets


def id_range(ids: list[int]) -> dict[str, Any]:
    """Return the condition on events; a range if there are no gaps, which is faster."""
    low, high = min(ids), max(ids)
    if high - low < len(ids):
        return {"event__gte": low, "event__lte": high}
    return {"event__in": ids}


def canonical_rows(columns: list[str], ids: list[int]) -> Rows:
    """Return events in the order of their ids, in the form that is hashed."""
    order = "DESC" if ids[0] > ids[-1] else ""
    # Parameters, because the driver caches each statement by its text.
    marks = ", ".join(["%s"] * len(ids))
    return event_rows(columns, f"WHERE id IN ({marks}) ORDER BY id {order}", ids)
