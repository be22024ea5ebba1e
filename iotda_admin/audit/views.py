from django.contrib.auth.decorators import permission_required
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.views.decorators.http import require_safe

from iotda_admin import audit, sheet
from iotda_admin.audit.models import Event
from iotda_admin.paging import page_of
from iotda_admin.web import render

COLUMNS = [
    "id", "at", "kind", "actor_name", "role", "source", "address", "operation", "summary",
    "reason", "ticket", "outcome",
]  # fmt: skip


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
    rows = matching(**narrowed).values_list(*COLUMNS)
    return sheet.download("audit.csv", COLUMNS, rows.iterator(chunk_size=2000))
