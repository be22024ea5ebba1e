"""The list of policies as CSV."""

import json
from collections.abc import Iterator

from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.views.decorators.http import require_safe

from iotda_admin.audit.record import record_export_event
from iotda_admin.core.csv_export import csv_response
from policies.models import Policy
from policies.views import listed_policies

COLUMNS = [
    "policy_id",
    "name",
    "app_id",
    "targets",
    "statements",
    "create_time",
    "update_time",
    "read_at",
]


@require_safe
def policies_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Return the policies that the user may see as CSV. The download is audited."""
    record_export_event(request, "policies as CSV", {})
    rows = policy_cells(listed_policies(request.user))
    return csv_response("policies.csv", COLUMNS, rows)


def policy_cells(rows: QuerySet[Policy]) -> Iterator[tuple[object, ...]]:
    for *cells, statements, created, updated, read_at in rows.values_list(*COLUMNS):
        said = "" if statements is None else json.dumps(statements, ensure_ascii=False)
        yield *cells, said, created, updated, f"{read_at:%Y-%m-%d %H:%M:%SZ}"
