"""What was found in the trail, to take away: a table for people, lines of JSON that anybody can verify.

Written while it is read, so that memory does not grow with the trail.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone

from iotda_admin.access.scope import user_spaces
from iotda_admin.audit.chain import HASHED_COLUMNS, chain_head
from iotda_admin.audit.models import Outcome
from iotda_admin.audit.record import record_request_event
from iotda_admin.audit.search.filters import AuditFilterForm
from iotda_admin.audit.search.indexes import Span
from iotda_admin.audit.search.query import TrailSearch
from iotda_admin.audit.verify import CANONICAL_SQL
from iotda_admin.core import csv_export

FIRST = [
    "id",
    "at",
    "kind",
    "actor_name",
    "role",
    "source",
    "address",
    "operation",
    "verb",
]
ABOUT = ["policy_id", "policy_name", "target_type"]
TARGET = ["target_id", "target_name", "outcome", "code", "message"]
LAST = [
    "reason", "ticket", "summary", "outcome", "space", "attempt", "outside_hours", "request_id",
    "upstream_id", "hash",
]  # fmt: skip
COLUMNS = [
    *FIRST,
    *ABOUT,
    "target_id",
    "target_name",
    "target_outcome",
    "code",
    "message",
    *LAST,
]
PREVIOUS = """
    coalesce(
        (SELECT before.hash FROM audit_event before WHERE before.id = audit_event.id - 1),
        (SELECT anchor.hash FROM audit_anchor anchor WHERE anchor.last = audit_event.id - 1),
        ''
    )
"""
loaded = json.JSONDecoder().decode
in_json = json.JSONEncoder(ensure_ascii=False).encode

type Rows = Iterator[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]


def export_csv(request: HttpRequest, form: AuditFilterForm) -> StreamingHttpResponse:
    """Newest first; one line for each target that an event tells of, else one for the event."""
    search, until = record_export(request, form, "CSV")
    rows = csv_rows(search, Span(high=until))
    return csv_export.csv_response(file_name(form, "csv"), COLUMNS, rows)


def export_json_lines(
    request: HttpRequest, form: AuditFilterForm
) -> StreamingHttpResponse:
    """Oldest first, as the chain goes; one event a line with all that its hash covers."""
    search, until = record_export(request, form, "JSON lines")
    body = csv_export.in_pieces(
        json_line_rows(search, Span(high=until, newest_first=False))
    )
    response = StreamingHttpResponse(body, content_type="application/jsonl")
    response["Content-Disposition"] = (
        f'attachment; filename="{file_name(form, "jsonl")}"'
    )
    return response


def record_export(
    request: HttpRequest, form: AuditFilterForm, what: str
) -> tuple[TrailSearch, int]:
    """That somebody takes it is an event too; the file ends before it."""
    head = str(chain_head())
    detail = {"filters": form.words(), "head": head}
    # Who may not see all of what was looked through is not told what was looked for.
    spaces = user_spaces(request.user)
    space = next(iter(spaces)) if spaces is not None and len(spaces) == 1 else "*"
    record_request_event(
        "export", request, space=space, summary=f"audit trail as {what}", detail=detail
    )
    return TrailSearch(form, request.user), int(head.partition(":")[0]) + 1


def file_name(form: AuditFilterForm, ending: str) -> str:
    """Says what is in it, and when it was taken."""
    asked = form.asked
    about = [
        str(asked[name])
        for name in ("ticket", "target", "policy", "actor", "code")
        if name in asked
    ]
    parts = ["audit", *about, f"{timezone.now().astimezone(UTC):%Y%m%d-%H%M}Z"]
    return (
        "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-")[:40] for part in parts)
        + f".{ending}"
    )


def csv_rows(search: TrailSearch, span: Span) -> Iterator[Sequence[Any]]:
    nothing = [("",) * len(TARGET)]
    middle = len(FIRST) + len(ABOUT)
    hours = middle + LAST.index("outside_hours")
    for event, targets in events_with_targets(
        search, span, [*FIRST, *ABOUT, *LAST], search.of_targets
    ):
        before = (event[0], f"{event[1].replace(' ', 'T')}Z", *event[2:middle])
        after = (*event[middle:hours], bool(event[hours]), *event[hours + 1 :])
        for target in targets or nothing:
            yield (*before, *target, *after)


def json_line_rows(search: TrailSearch, span: Span) -> Iterator[str]:
    """All that is hashed, and both ends of the link, so that a single line can be verified too."""
    names = [*HASHED_COLUMNS, "previous_hash", "hash"]
    for event, targets in events_with_targets(search, span, names, {}):
        said = dict(zip(names, event, strict=True))
        said["detail"], said["targets"] = loaded(said["detail"]), targets
        yield f"{in_json(said)}\n"


def events_with_targets(
    search: TrailSearch, span: Span, columns: list[str], of_targets: dict[str, str]
) -> Rows:
    """Each event with what it says of its targets."""
    order = "-" if span.newest_first else ""
    for ids in search.every(span):
        own = Outcome.objects.filter(**id_range(ids), **of_targets).order_by(
            f"{order}event_id", "id"
        )
        told = groupby(
            own.values_list("event_id", *TARGET).iterator(chunk_size=2000),
            itemgetter(0),
        )
        seq, targets = next(told, (0, iter(())))
        for event in canonical_rows(columns, ids):
            mine = [said[1:] for said in targets] if seq == event[0] else []
            if seq == event[0]:
                seq, targets = next(told, (0, iter(())))
            yield event, mine


def id_range(ids: list[int]) -> dict[str, Any]:
    """With none left out, both ends say it: to name each takes longer than to read it."""
    low, high = min(ids), max(ids)
    dense = high - low < len(ids)
    return (
        {"event_id__gte": low, "event_id__lte": high}
        if dense
        else {"event_id__in": ids}
    )


def canonical_rows(columns: list[str], ids: list[int]) -> list[tuple[Any, ...]]:
    """Events in this order, spelled by the database as the chain does: past the ORM, which takes longer
    than all else."""
    quote = connection.ops.quote_name
    own = CANONICAL_SQL[connection.vendor] | {"previous_hash": PREVIOUS}
    names = ", ".join(own.get(name, quote(name)) for name in columns)
    order = "DESC" if ids[0] > ids[-1] else ""
    # Not the numbers themselves: the driver keeps statements, and each would be another.
    marks = ", ".join(["%s"] * len(ids))
    sql = f"SELECT {names} FROM audit_event WHERE id IN ({marks}) ORDER BY id {order}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, ids)
        return list(cursor.fetchall())
