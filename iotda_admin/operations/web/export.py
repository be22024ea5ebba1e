"""Operations, and what did not succeed, as rows for a spreadsheet."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import batched

from django.db.models import QuerySet

from iotda_admin.operations.counts import UNSUCCESSFUL, target_counts_by_operation
from iotda_admin.operations.error_codes import ErrorHelp, explain_target
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.resolutions import read_resolution

OPERATION_COLUMNS = [
    "operation",
    "verb",
    "state",
    "target_type",
    "policy",
    "targets",
    *Target.State.values,
    "actor",
    "role",
    "source",
    "reason",
    "ticket",
    "created_at",
    "finished_at",
    "retry_of",
    "undo_of",
]
# Operations whose targets are counted in one statement.
COUNTED = 500
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
    return utc_cell(at), *read_resolution(by)


def operation_rows(operations: QuerySet[Operation]) -> Iterator[list[object]]:
    """Yield a row for each operation, newest first, with its number of targets by state."""
    for group in batched(operations.iterator(chunk_size=COUNTED), COUNTED):
        counts = target_counts_by_operation(group)
        for each in group:
            numbers = [counts[each.pk].get(state, 0) for state in Target.State.values]
            yield [
                each,
                each.verb,
                each.state,
                each.target_type,
                each.policy_name or each.policy_id,
                sum(numbers),
                *numbers,
                each.actor_name,
                each.role,
                each.source,
                each.reason,
                each.ticket,
                utc_cell(each.created_at),
                utc_cell(each.finished_at),
                f"OP-{each.retry_of_id}" if each.retry_of_id else "",
                f"OP-{each.undo_of_id}" if each.undo_of_id else "",
            ]


def utc_cell(at: datetime | None) -> str:
    """Return a time for a table: its rows are streamed when no time zone is active."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if at else ""
