import csv
from collections.abc import Iterator

from django.contrib.auth.decorators import permission_required
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.views.decorators.http import require_safe

from iotda_admin import audit
from iotda_admin.audit.models import Event
from iotda_admin.paging import page_of
from iotda_admin.web import render

COLUMNS = [
    "id", "at", "kind", "actor_name", "role", "source", "address", "operation", "summary",
    "reason", "ticket", "outcome",
]  # fmt: skip


def matching(request: HttpRequest) -> QuerySet[Event]:
    """The filter of the page and of its export: one for both."""
    rows = Event.objects.all()
    kind = request.GET.get("kind", "")
    if kind in Event.Kind.values:
        rows = rows.filter(kind=kind)
    if text := request.GET.get("q", "").replace("\0", "")[:200].strip():
        columns = ("actor_name", "ticket", "reason", "summary")
        found = Q()
        for column in columns:
            found |= Q(**{f"{column}__icontains": text})
        number = text.upper().removeprefix("OP-")
        if number.isascii() and number.isdigit() and len(number) < 19:
            found |= Q(operation=int(number))
        rows = rows.filter(found)
    return rows


@require_safe
@permission_required("audit.view_event", raise_exception=True)
def events(request: HttpRequest) -> HttpResponse:
    context = {
        "page": page_of(matching(request), request, key="id", descending=True),
        "kinds": Event.Kind.choices,
        "kind": request.GET.get("kind", ""),
        "q": request.GET.get("q", ""),
    }
    return render(request, "audit/events.html", context, part="list")


@require_safe
@permission_required("audit.export_event", raise_exception=True)
def export(request: HttpRequest) -> StreamingHttpResponse:
    """All matching events as CSV, newest first. That somebody took them is an event too."""
    audit.record_request(
        "export",
        request,
        summary="audit trail as CSV",
        detail={"kind": request.GET.get("kind", "")[:40], "q": request.GET.get("q", "")[:200]},
    )
    response = StreamingHttpResponse(lines(matching(request)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="audit.csv"'
    return response


class Echo:
    """What csv writes into: it hands each line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def lines(rows: QuerySet[Event]) -> Iterator[str]:
    writer = csv.writer(Echo())
    yield writer.writerow(COLUMNS)
    for row in rows.values_list(*COLUMNS).iterator(chunk_size=2000):
        yield writer.writerow([cell(value) for value in row])


def cell(value: object) -> str:
    """A cell that a spreadsheet shows as text, whatever somebody typed as a reason."""
    text = "" if value is None else str(value)
    dangerous = text.lstrip(" \"'").startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))
    return f"'{text}" if dangerous or text.startswith(("\t", "\r", "\n")) else text
