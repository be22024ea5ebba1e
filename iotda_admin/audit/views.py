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
# What a spreadsheet may take for the start of a formula or of a new cell, and what it skips before that.
FORMULA = "=+-@%;\t\r\n＝＋－＠"
UNSEEN = " \"'\u200b\u200c\u200d\ufeff"


def asked(request: HttpRequest) -> dict[str, str]:
    """What the page and its export are narrowed by, as far as it makes sense."""
    kind = request.GET.get("kind", "")
    return {
        "kind": kind if kind in Event.Kind.values else "",
        "q": request.GET.get("q", "").replace("\0", "")[:200].strip(),
    }


def matching(kind: str, q: str) -> QuerySet[Event]:
    rows = Event.objects.all()
    if kind:
        rows = rows.filter(kind=kind)
    if q:
        columns = ("actor_name", "ticket", "reason", "summary")
        found = Q()
        for column in columns:
            found |= Q(**{f"{column}__icontains": q})
        number = q.upper().removeprefix("OP-")
        if number.isascii() and number.isdigit() and len(number) < 19:
            found |= Q(operation=int(number))
        rows = rows.filter(found)
    return rows


@require_safe
@permission_required("audit.view_event", raise_exception=True)
def events(request: HttpRequest) -> HttpResponse:
    narrowed = asked(request)
    page = page_of(matching(**narrowed), request, key="id", descending=True)
    context = {"page": page, "kinds": Event.Kind.choices, **narrowed}
    return render(request, "audit/events.html", context, part="list")


@require_safe
@permission_required("audit.export_event", raise_exception=True)
def export(request: HttpRequest) -> StreamingHttpResponse:
    """All matching events as CSV, newest first. That somebody took them is an event too."""
    narrowed = asked(request)
    audit.record_request("export", request, summary="audit trail as CSV", detail=narrowed)
    response = StreamingHttpResponse(lines(matching(**narrowed)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="audit.csv"'
    return response


class Echo:
    """What csv writes into: it hands each line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def lines(rows: QuerySet[Event]) -> Iterator[str]:
    writer = csv.writer(Echo(), quoting=csv.QUOTE_ALL)
    yield writer.writerow(COLUMNS)
    for row in rows.values_list(*COLUMNS).iterator(chunk_size=2000):
        yield writer.writerow([cell(value) for value in row])


def cell(value: object) -> str:
    """A cell that a spreadsheet shows as text, whatever somebody typed as a reason."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip(UNSEEN).startswith(tuple(FORMULA)) else text
