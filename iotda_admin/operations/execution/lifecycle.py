"""How an operation comes to its end: with its last target, or stopped before."""

from itertools import batched

from django.db.models import Case, F, Value, When
from django.utils import timezone

from iotda_admin.operations.audit_log import describe_count, record_operation_event
from iotda_admin.operations.counts import format_counts, target_counts
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.open_failures import resolve_earlier

State = Target.State
# Targets that one event of the trail tells of.
DROPPED_TOGETHER = 1000


def lock_operation(operation_id: int) -> Operation:
    """Lock the operation before anything of it is written: one order for all who settle, so no deadlock,
    and of two that settle the last two chunks at once, the second sees what the first has written."""
    return Operation.objects.select_for_update().get(pk=operation_id)


def lock_pending_chunks(operation: Operation) -> None:
    """A claim that is being committed has its chunks locked: what it takes does not wait any more."""
    waiting = Chunk.objects.filter(operation=operation, state=Chunk.State.PENDING)
    list(waiting.select_for_update().values_list("pk", flat=True))


def stop_operation(operation: Operation, code: str, message: str) -> None:
    """The rest would be refused as well: it is not sent, and says why."""
    operation.state = Operation.State.STOPPED
    operation.stop_code, operation.stop_message = code[:64], message[:512]
    operation.save(update_fields=["state", "stop_code", "stop_message"])
    skip_pending(operation)
    finish_operation(operation)


def cancel(operation: Operation, by: str) -> None:
    """AnyUser changed their mind: what is not sent is not sent any more."""
    operation.state, operation.cancelled_by = Operation.State.CANCELLED, by
    operation.save(update_fields=["state", "cancelled_by"])
    skip_pending(operation)
    finish_operation(operation)


def skip_pending(operation: Operation) -> None:
    """Also for what was under way when the operation was stopped, and had to be put back."""
    cancelled = operation.state == Operation.State.CANCELLED
    state = State.CANCELLED if cancelled else State.SKIPPED
    lock_pending_chunks(operation)
    record_skipped(operation, state)
    Chunk.objects.filter(operation=operation, state=Chunk.State.PENDING).update(
        state=Chunk.State.DONE
    )
    Target.objects.filter(operation=operation, state=State.PENDING).update(
        state=state,
        error_code=operation.stop_code,
        error_message=operation.stop_message,
        settled_at=timezone.now(),
    )


def record_skipped(operation: Operation, state: str) -> None:
    """Each target's end stands in the trail, of those that were never sent too."""
    waiting = Target.objects.filter(operation=operation, state=State.PENDING).order_by(
        "pk"
    )
    rows = waiting.values_list("target_id", "name").iterator(
        chunk_size=DROPPED_TOGETHER
    )
    for some in batched(rows, DROPPED_TOGETHER):
        said = (state, operation.stop_code, operation.stop_message)
        record_operation_event(
            "chunk.dropped",
            operation,
            summary=describe_count(operation, len(some)),
            outcome=f"{len(some)} {state}",
            targets=[(id, name, *said) for id, name in some],
        )


def finish_operation(operation: Operation) -> None:
    """Once nothing is open any more, the operation has ended; exactly one caller writes that down."""
    if Chunk.objects.filter(operation=operation, state__in=Chunk.OPEN).exists():
        return
    ended = Operation.objects.filter(pk=operation.pk, finished_at=None)
    running, done = Operation.State.RUNNING, Operation.State.DONE
    state = Case(When(state=running, then=Value(done)), default=F("state"))
    if not ended.update(finished_at=timezone.now(), state=state):
        return
    counts = target_counts(operation)
    record_operation_event(
        "operation.ended",
        operation,
        summary=describe_count(operation, sum(counts.values())),
        outcome=format_counts(counts),
        detail={"counts": counts},
    )
    resolve_earlier(operation, counts)
