"""The report of an operation: text for a terminal, a JSON document for a script."""

from collections.abc import Iterator
from typing import Any

from iotda_admin.operations.audit_log import describe_rows
from iotda_admin.operations.causes import (
    Cause,
    failure_causes,
    pause_help,
    pause_reason,
    split_task,
)
from iotda_admin.operations.counts import UNSUCCESSFUL, State, target_counts
from iotda_admin.operations.models import Operation

IDS_SHOWN = 20


def as_lines(operation: Operation, past: str) -> Iterator[str]:
    """Return the counts, then the failures by cause."""
    counts = target_counts(operation)
    said = [
        f"{counts[state]:,} {past if state == State.OK else state}"
        for state in State
        if state in counts
    ]
    change = describe_rows(operation, operation.targets.all(), sum(counts.values()))
    yield f"{operation} {change}: {', '.join(said)}"
    if operation.paused:
        yield f"Paused: {pause_reason(operation)}"
        yield f"  {pause_help(operation)}"
    if operation.paused and not operation.held:
        code, message = operation.refusal_code, operation.refusal_message
        yield f"  IoTDA says: {code} {message}".rstrip()
    if task := split_task(operation):
        yield "IoTDA refused the batch task. Each device was sent by itself instead."
        yield f"  IoTDA says: {task.error_code} {task.error_message}".rstrip()
    for cause in failure_causes(operation):
        yield from lines_of(cause)


def lines_of(cause: Cause) -> Iterator[str]:
    yield ""
    yield f"{cause.count:,} {cause.state}: {cause.help.meaning}"
    words = " / ".join(cause.messages)
    if cause.code and (cause.platform_code or words):
        yield f"  {'IoTDA says' if cause.platform_code else 'Because'}: {cause.code} {words}".rstrip()
    yield f"  Next: {cause.help.next_step}"
    for target in cause.targets[:IDS_SHOWN]:
        name = target.name if target.name != target.target_id else ""
        yield f"    {target.target_id}  {name}".rstrip()
    if (more := cause.count - IDS_SHOWN) > 0:
        yield f"    and {more:,} more"


def as_document(operation: Operation) -> dict[str, Any]:
    """Return the document, with each target that ended but is not as requested."""
    rest = operation.targets.filter(state__in=UNSUCCESSFUL).order_by("pk")
    columns = rest.values_list("target_id", "state", "error_code", "error_message")
    return {
        "operation": operation.pk,
        "verb": operation.verb,
        "target_type": operation.target_type,
        "devices": operation.devices,
        "state": operation.state,
        "url": operation.get_absolute_url(),
        "counts": target_counts(operation),
        "targets": [
            {"id": id, "state": state, "code": code, "message": message}
            for id, state, code, message in columns.iterator()
        ],
    }


def printable(text: str) -> str:
    """Escape control characters: text from IoTDA must not control the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
