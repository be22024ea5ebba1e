"""What did not succeed, as rows for a spreadsheet."""

from collections.abc import Iterator
from functools import cache

from iotda_admin.operations.counts import UNSUCCESSFUL
from iotda_admin.operations.error_codes import ErrorHelp, explain_target
from iotda_admin.operations.models import Operation

FAILURE_COLUMNS = [
    "id",
    "name",
    "state",
    "code",
    "iotda_said",
    "meaning",
    "next_step",
    "request_id",
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
    )
    for id, name, state, code, said, request, status in columns.iterator(
        chunk_size=2000
    ):
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
        ]
