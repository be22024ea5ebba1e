"""Ends operations: with their last target, by a stop, or by a cancellation."""

from itertools import batched
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from iotda_admin.access.actor import Actor
from iotda_admin.operations.audit_log import (
    TARGETS_PER_EVENT,
    audited_transaction,
    describe_rows,
    describe_targets,
    record_operation_event,
)
from iotda_admin.operations.counts import format_counts, target_counts
from iotda_admin.operations.error_codes import NOT_RELEASED
from iotda_admin.operations.models import (
    Chunk,
    ChunkState,
    Operation,
    SenderHeartbeat,
    Target,
)
from iotda_admin.operations.open_failures import resolve_earlier

State = Target.State


def lock_operation(operation_id: int) -> Operation:
    """Lock an operation's row. Always do this before writing anything of the operation.

    The fixed order prevents deadlocks. When two processes write the last two chunks,
    the second then reads what the first has written.
    """
    return Operation.objects.select_for_update().get(pk=operation_id)


def lock_pending_chunks(operation: Operation) -> None:
    """Lock the pending chunks; wait for processes that are leasing some of them."""
    pending = operation.chunks.filter(state=ChunkState.PENDING)
    list(pending.select_for_update().values_list("pk", flat=True))


def stop_operation(operation: Operation, code: str, message: str) -> None:
    """Skip what is pending, because IoTDA would reject it as well; record why."""
    operation.state = Operation.State.STOPPED
    operation.stop_code, operation.stop_message = code[:64], message[:512]
    operation.save(update_fields=["state", "stop_code", "stop_message"])
    finish_operation(operation)


def cancel_operation(operation: Operation, actor: Actor) -> bool:
    """Cancel what is pending; what was sent ends normally.

    Return False if the operation has ended or nothing is pending. Of a held operation,
    what is to be read again is cancelled unless IoTDA shows that it was changed.
    """
    with audited_transaction():
        locked = lock_operation(operation.pk)
        lock_pending_chunks(locked)
        rows = locked.targets.filter(state=State.PENDING)
        pending = rows.count()
        if locked.ended_early or not (pending or locked.held):
            return False
        record_operation_event(
            "operation.cancelled",
            locked,
            **actor_columns(actor),
            summary=f"cancel {locked}: {describe_rows(locked, rows, pending)}",
            detail={"not_sent": pending},
        )
        locked.state, locked.cancelled_by = Operation.State.CANCELLED, actor.username
        locked.save(update_fields=["state", "cancelled_by"])
        finish_operation(locked)
    return True


def actor_columns(actor: Actor) -> dict[str, Any]:
    """Return the columns of an event about what this actor does to an operation."""
    return {
        "actor_id": actor.user.pk if actor.user else None,
        "actor_name": actor.username,
        "role": actor.role,
        "source": actor.source,
        "address": actor.address,
        "reason": "",
        "ticket": "",
    }


def pause_operation(operation: Operation) -> None:
    """Send nothing more of a locked operation until a user continues or cancels it."""
    if not operation.running:
        return
    lock_pending_chunks(operation)
    rows = operation.targets.filter(state=State.PENDING)
    pending = rows.count()
    if not pending:
        return
    operation.state = Operation.State.PAUSED
    operation.save(update_fields=["state"])
    record_operation_event(
        "operation.paused",
        operation,
        summary=f"pause {operation}: {describe_rows(operation, rows, pending)}",
        detail={
            "not_sent": pending,
            "refusals": operation.refusals,
            "code": operation.refusal_code,
            "message": operation.refusal_message,
        },
    )


def continue_operation(operation: Operation, actor: Actor) -> bool:
    """Send what is pending of a paused operation.

    The same refusal does not pause it again. Return False if it is not paused, or is held
    and not yet read again.
    """
    with audited_transaction():
        locked = lock_operation(operation.pk)
        if not locked.paused or is_being_read(locked):
            return False
        rows = locked.targets.filter(state=State.PENDING)
        pending = rows.count()
        record_operation_event(
            "operation.continued",
            locked,
            **actor_columns(actor),
            summary=f"continue {locked}: {describe_rows(locked, rows, pending)}",
            detail={"not_sent": pending, "code": locked.refusal_code},
        )
        if not locked.held:
            locked.accepted_refusals.append(locked.refusal)
        locked.state, locked.pause_cause = Operation.State.RUNNING, ""
        locked.save(update_fields=["state", "pause_cause", "accepted_refusals"])
        record_sender_heartbeat()
        finish_operation(locked)
    return True


def is_being_read(operation: Operation) -> bool:
    """Whether a held operation has targets that were not read from IoTDA again."""
    unread = operation.chunks.filter(state__in=[ChunkState.SENT, ChunkState.UNKNOWN])
    return operation.held and unread.exists()


def record_sender_heartbeat() -> None:
    """Write that a process sends, so that nothing counts as interrupted now."""
    SenderHeartbeat.objects.update_or_create(pk=1, defaults={"seen_at": Now()})


def skip_pending(operation: Operation) -> None:
    """End the pending targets of a stopped or cancelled operation as skipped or cancelled.

    Call it again for chunks that were in flight at that time and are requeued later.
    """
    cancelled = operation.state == Operation.State.CANCELLED
    state = State.CANCELLED if cancelled else State.SKIPPED
    lock_pending_chunks(operation)
    pending = operation.targets.filter(state=State.PENDING)
    record_skipped(operation, pending, state)
    operation.chunks.filter(state=ChunkState.PENDING).update(state=ChunkState.DONE)
    pending.update(
        state=state,
        error_code=operation.stop_code,
        error_message=operation.stop_message,
        settled_at=timezone.now(),
    )


def record_skipped(operation: Operation, pending: QuerySet[Target], state: str) -> None:
    """Record the outcome of each target that was never sent in the audit trail."""
    rows = pending.order_by("pk").values_list("target_id", "name")
    outcome = (state, operation.stop_code, operation.stop_message)
    for group in batched(rows.iterator(TARGETS_PER_EVENT), TARGETS_PER_EVENT):
        record_operation_event(
            "chunk.dropped",
            operation,
            summary=describe_targets(operation, dict(group)),
            outcome=f"{len(group)} {state}",
            targets=[(*target, *outcome) for target in group],
        )


def finish_operation(operation: Operation) -> None:
    """Record the end of a locked operation once, if no chunk is open.

    Of an operation that was stopped or cancelled, skip what is pending before.
    """
    if operation.finished_at:
        return
    if operation.ended_early:
        skip_pending(operation)
    if operation.chunks.filter(state__in=Chunk.OPEN).exists():
        return
    operation.finished_at = timezone.now()
    if not operation.ended_early:
        operation.state = Operation.State.DONE
    operation.save(update_fields=["finished_at", "state"])
    counts = target_counts(operation)
    record_operation_event(
        "operation.ended",
        operation,
        summary=describe_rows(operation, operation.targets.all(), sum(counts.values())),
        outcome=format_counts(counts),
        detail={"counts": counts},
    )
    resolve_earlier(operation, counts)
    if counts.keys() - set(Target.DONE):
        stop_successors(operation)


def stop_successors(operation: Operation) -> None:
    """Skip the operations that were to be sent only if this one ended well."""
    message = _("%(operation)s was not done.") % {"operation": operation}
    waiting = operation.successors.filter(finished_at=None).order_by("pk")
    for pk in waiting.values_list("pk", flat=True):
        stop_operation(lock_operation(pk), NOT_RELEASED, message)
