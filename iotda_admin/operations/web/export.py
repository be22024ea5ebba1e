"""What did not succeed, as rows for a spreadsheet."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache

from iotda_admin.operations.counts import UNSUCCESSFUL
from iotda_admin.operations.error_codes import ErrorHelp, explain_target
from iotda_admin.operations.models import Operation
from iotda_admin.operations.resolutions import read_resolution

FAILURE_COLUMNS = [
    "id",
    "name",
    "state",
    "code",
    "iotda_said",
    "meaning",
    "next_step",
    "request_id",
    "resolved_at",
    "resolved_by",
    "resolved_how",
]


def failure_rows(operation: Operation) -> Iterator[list[object]]:
    explained = cache(explain_target)
    found = operation.targets.filter(state__in=UNSUCCESSFUL).order_by("pk")
    columns = found.values_list(
        "target_id",
        "name",
        "state",
        "error_code",
        "error_message",
        "chunk__request_id",
        "chunk__http_status",
        "resolved_at",
        "resolved_by",
    )
    for (
        id,
        name,
        state,
        code,
        said,
        request,
        status,
        resolved_at,
        resolved_by,
    ) in columns.iterator(chunk_size=2000):
        help: ErrorHelp = explained(state, code, status)
        yield [
            id,
            name,
            state,
            code,
            said,
            help.meaning,
            help.next_step,
            request,
            *resolution_cells(resolved_at, resolved_by),
        ]


def resolution_cells(at: datetime | None, by: str) -> tuple[str, ...]:
    """Return when a failure was resolved, by what and how; empty for an open one."""
    if at is None:
        return "", "", ""
    # The rows are streamed when the user's time zone is no longer active.
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}", *read_resolution(by)
