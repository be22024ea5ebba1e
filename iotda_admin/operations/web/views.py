import re
from collections.abc import Sequence

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from iotda_admin.access.scope import AnyUser
from iotda_admin.audit.record import (
    record_export_event,
    record_read_event,
    record_request_event,
)
from iotda_admin.core import csv_export
from iotda_admin.core.http import refuse, render, wants_fragment
from iotda_admin.core.pagination import paginate
from iotda_admin.iotda import OutOfTime
from iotda_admin.operations.counts import target_counts
from iotda_admin.operations.execution import batch_tasks, reconciliation
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.permissions import visible_operations
from iotda_admin.operations.verbs import Verb, get_verb
from iotda_admin.operations.web import export
from iotda_admin.operations.web.filters import STATE_FILTERS, OperationFilterForm
from iotda_admin.operations.web.headline import target_words, with_counts
from iotda_admin.operations.web.responses import result_response
from iotda_admin.rate.hook import PlatformBusy
from iotda_admin.rate.page_reads import page_client

# Each check costs calls while a user waits; the worker does the rest.
LOOKS_AT_ONCE = 5


def can_check_operation(user: AnyUser, operation: Operation) -> bool:
    """Return whether the user may check now or cancel: the actor, or who may request it."""
    return operation.actor_id == user.pk or may_ask(
        user, get_verb(operation.verb), operation
    )


def may_ask(user: AnyUser, verb: Verb, about: Operation) -> bool:
    """Return whether the user may request this verb for the operation's targets."""
    return user.has_perm(verb.permission_for(about.target_type))


def visible_or_404(request: HttpRequest, number: int) -> Operation:
    return get_object_or_404(visible_operations(request.user), pk=number)


@require_safe
def operations(request: HttpRequest) -> HttpResponse:
    form = OperationFilterForm(request.GET, request.user)
    page = paginate(form.operations(), request, key="id", descending=True)
    context = {
        "form": form,
        "page": page,
        "rows": with_counts(page.items),
        "states": [(name, each.label) for name, each in STATE_FILTERS.items()],
    }
    return render(request, "operations/operations.html", context, part="list")


@require_safe
def operations_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Return the list as filtered as CSV. The download is audited."""
    form = OperationFilterForm(request.GET, request.user)
    rows = form.operations()
    record_export_event(request, "operations as CSV", form.described)
    return csv_export.csv_response(
        "operations.csv", export.OPERATION_COLUMNS, export.operation_rows(rows)
    )


def one_of(states: Sequence[str], request: HttpRequest) -> str:
    """Return the state of the filter; all for an unknown one."""
    state = request.GET.get("state", "")
    return state if state in states else ""


@require_safe
def operation(request: HttpRequest, number: int) -> HttpResponse:
    """Show the result at its permanent URL; polled as a fragment until the end.

    Every user with its resource spaces may read it, but change only what their
    permissions allow.
    """
    return result_response(request, visible_or_404(request, number))


@require_safe
def targets(request: HttpRequest, number: int) -> HttpResponse:
    row = visible_or_404(request, number)
    rows = row.targets.select_related("chunk")
    if state := one_of(Target.State.values, request):
        rows = rows.filter(state=state)
    context = {
        "operation": row,
        "verb": get_verb(row.verb),
        "words": target_words(row, target_counts(row)),
        "state": state,
        "states": Target.State.choices,
        "page": paginate(rows, request, key="id", size=200),
    }
    return render(request, "operations/targets.html", context, part="list")


@require_safe
def failures(request: HttpRequest, number: int) -> StreamingHttpResponse:
    """Return the failures as CSV. The download is audited."""
    row = visible_or_404(request, number)
    record_read_event(
        "export",
        request,
        operation=row.pk,
        verb=row.verb,
        space=row.space,
        summary=f"failures of {row} as CSV",
    )
    return csv_export.csv_response(
        f"{row}-failures.csv", export.FAILURE_COLUMNS, export.failure_rows(row)
    )


@require_POST
def check(request: HttpRequest, number: int) -> HttpResponse:
    """Read unknown outcomes back from IoTDA now, unless it is too early."""
    row = visible_or_404(request, number)
    if not can_check_operation(request.user, row):
        raise PermissionDenied
    record_request_event(
        "operation.checked",
        request,
        operation=row.pk,
        verb=row.verb,
        space=row.space,
        summary=f"look at {row}",
    )
    reconciliation.expire_leases()
    try:
        with page_client(patient=True) as iotda:
            reconciliation.reconcile_operation(row.pk, iotda, limit=LOOKS_AT_ONCE)
            batch_tasks.find_lost_tasks(row.pk, iotda)
    except (PlatformBusy, OutOfTime):
        sentence = _("IoTDA is busy: nothing was read. A worker reads it later.")
        return refuse(request, 503, "errors/busy.html", str(sentence))
    return show_operation(request, row)


def show_operation(request: HttpRequest, row: Operation) -> HttpResponse:
    """Show the operation again after a button, or that of the page with the button."""
    number = request.GET.get("back", "")
    if re.fullmatch(r"[0-9]{1,18}", number):
        row = visible_operations(request.user).filter(pk=int(number)).first() or row
    if not wants_fragment(request):
        return redirect(row)
    row.refresh_from_db()
    return result_response(request, row)
