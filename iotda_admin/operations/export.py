"""What did not succeed, as rows for a spreadsheet."""

from collections.abc import Iterator
from functools import cache

from iotda_admin.operations.codes import Knowledge
from iotda_admin.operations.models import Operation
from iotda_admin.operations.results import TROUBLE, knowledge_of

COLUMNS = ["id", "name", "state", "code", "iotda_said", "meaning", "next_step", "request_id"]


def failures(operation: Operation) -> Iterator[list[object]]:
    explained = cache(knowledge_of)
    found = operation.targets.filter(state__in=TROUBLE).order_by("pk")
    columns = found.values_list(
        "target_id", "name", "state", "error_code", "error_message", "chunk__request_id", "chunk__http_status"
    )
    for id, name, state, code, said, request, status in columns.iterator(chunk_size=2000):
        knowledge: Knowledge = explained(state, code, status)
        yield [id, name, state, code, said, knowledge.meaning, knowledge.next_step, request]
