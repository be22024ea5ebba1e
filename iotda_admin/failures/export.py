"""The open failures of the list as CSV."""

from collections.abc import Iterator
from functools import cache

from django.contrib.auth.decorators import permission_required
from django.db.models import F, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.views.decorators.http import require_safe

from iotda_admin.audit.record import record_export_event
from iotda_admin.core.csv_export import csv_response
from iotda_admin.failures.forms import FailureFilterForm
from iotda_admin.failures.queries import filter_failures, in_group
from iotda_admin.failures.views import SEE_FAILURES
from iotda_admin.operations.error_codes import explain_target
from iotda_admin.operations.models import Target
from iotda_admin.operations.permissions import operations_in_queue
from iotda_admin.operations.web.export import utc_cell

# The columns of the file, and where each comes from.
COLUMNS = {
    "id": "target_id",
    "name": "name",
    "target_type": "operation__target_type",
    "verb": "operation__verb",
    "policy": "operation__policy_name",
    "state": "state",
    "code": "error_code",
    "iotda_said": "error_message",
    "request_id": "chunk__request_id",
    "requested_by": "operation__actor_name",
    "reason": "operation__reason",
    "ticket": "operation__ticket",
    "assignee": "assignment__assignee_name",
    "note": "assignment__note",
    "note_ticket": "assignment__ticket",
}
EXPLAINED = ["meaning", "next_step"]


@require_safe
@permission_required(SEE_FAILURES, raise_exception=True)
def failures_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Return the open failures as filtered as CSV. The download is audited."""
    form = FailureFilterForm(request.GET)
    state, code = request.GET.get("state", ""), request.GET.get("code", "")
    visible = operations_in_queue(request.user)
    rows = filter_failures(visible, form.filters(request.user))
    if state == Target.State.UNKNOWN:
        rows = rows.filter(state=state)
    elif code:
        rows = in_group(rows, state, code)
    filters = {**form.values, "state": state, "code": code}
    chosen = {name: value for name, value in filters.items() if value}
    record_export_event(request, "open failures as CSV", chosen)
    columns = ["operation", *COLUMNS, *EXPLAINED, "failed_at"]
    return csv_response("failures.csv", columns, failure_cells(rows))


def failure_cells(rows: QuerySet[Target]) -> Iterator[list[object]]:
    explained = cache(explain_target)
    state, code = (list(COLUMNS).index(name) for name in ("state", "code"))
    found = rows.order_by("-pk").values_list(
        F("operation"), *COLUMNS.values(), "chunk__http_status", "settled_at"
    )
    for operation, *cells, status, settled_at in found.iterator(chunk_size=2000):
        help = explained(cells[state], cells[code], status)
        about = [help.meaning, help.next_step, utc_cell(settled_at)]
        yield [f"OP-{operation}", *cells, *about]
