"""What did not succeed, as rows for a spreadsheet."""

from collections.abc import Iterator
from functools import cache

from iotda_admin.operations.counts import TROUBLE
from iotda_admin.operations.error_codes import ErrorHelp, explain_target
from iotda_admin.operations.models import Operation

COLUMNS = [
    "id",
    "name",
    "state",
    "code",
    "iotda_said",
    "meaning",
    "next_step",
    "request_id",
]


def failures(operation: Operation) -> Iterator[list[object]]:
    explained = cache(explain_target)
    found = operation.targets.filter(state__in=TROUBLE).order_by("pk")
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
