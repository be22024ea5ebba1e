"""Holds work that must not go on by itself: a user continues or cancels it.

After a restored backup or a long interruption, what was requested may have been done, and
undone, since. Held operations are paused, and their targets are read from IoTDA again.
"""

import logging
import time
from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from iotda_admin.audit.chain import lock_chain
from iotda_admin.audit.head import adopt_head, database_is_older, known_head
from iotda_admin.audit.record import record_event
from iotda_admin.operations.audit_log import (
    audited_transaction,
    describe_rows,
    record_operation_event,
)
from iotda_admin.operations.error_codes import HELD, SENDER_LOST
from iotda_admin.operations.execution.lifecycle import (
    lock_operation,
    lock_pending_chunks,
    record_sender_heartbeat,
)
from iotda_admin.operations.models import (
    Chunk,
    ChunkState,
    Operation,
    SenderHeartbeat,
    Target,
)

log = logging.getLogger(__name__)

Cause = Operation.PauseCause
State = Operation.State
OPEN = (State.RUNNING, State.PAUSED)
# A process that sends says so in the database once in this many seconds.
SENDER_HEARTBEAT_SECONDS = 10.0


class LastHeartbeat:
    """When this process last wrote the heartbeat, on the clock of the machine.

    A monotonic clock stops while the machine sleeps.
    """

    at = float("-inf")

    @classmethod
    def is_due(cls) -> bool:
        return abs(time.time() - cls.at) >= SENDER_HEARTBEAT_SECONDS


def hold_old_work() -> None:
    """Hold open operations after a restored backup or a long interruption.

    Call it before work is looked for, outside a transaction: it locks operations.
    """
    if database_is_older():
        hold_after_restore()
    if LastHeartbeat.is_due():
        hold_after_interruption()
        LastHeartbeat.at = time.time()


def hold_after_restore() -> None:
    log.error("The database was restored from a backup: open operations are held.")
    known = known_head()
    hold_operations(Cause.RESTORED, OPEN)
    with transaction.atomic():
        lock_chain()
        if not database_is_older():
            return  # Another process was faster.
        record_event(
            "database.restored",
            source="worker",
            summary="The database was restored from a backup; open operations are held.",
            detail={"missing_event": str(known)},
        )
        transaction.on_commit(adopt_head)


def hold_after_interruption() -> None:
    """Hold what was requested before the last RESUME_WITHIN seconds, if nothing was sent
    in them; then write that this process sends.
    """
    limit = Now() - timedelta(seconds=settings.RESUME_WITHIN)
    interrupted = SenderHeartbeat.objects.filter(pk=1, seen_at__lt=limit)
    if settings.RESUME_WITHIN and interrupted.exists():
        hold_operations(Cause.INTERRUPTED, [State.RUNNING], created_at__lt=limit)
    record_sender_heartbeat()


def hold_operations(cause: Cause, states: Collection[State], **filters: object) -> None:
    """Pause the open operations that match, and have their targets read again."""
    found = Operation.objects.filter(
        state__in=states, chunks__state__in=Chunk.OPEN, **filters
    )
    for pk in found.values_list("pk", flat=True).distinct().order_by("pk"):
        with audited_transaction():
            hold_operation(lock_operation(pk), cause)


def hold_operation(operation: Operation, cause: Cause) -> None:
    """Pause a locked operation. Its targets are unknown until IoTDA was read again."""
    if operation.state not in OPEN:
        return
    lock_pending_chunks(operation)
    pending = operation.targets.filter(state=Target.State.PENDING)
    unsent = pending.count()
    operation.state, operation.pause_cause = State.PAUSED, cause
    operation.save(update_fields=["state", "pause_cause"])
    record_operation_event(
        "operation.paused",
        operation,
        summary=f"hold {operation}: {describe_rows(operation, pending, unsent)}",
        detail={"not_sent": unsent, "cause": str(cause)},
    )
    pending.update(state=Target.State.UNKNOWN, error_code=HELD)
    unread = operation.chunks.filter(state__in=[ChunkState.PENDING, ChunkState.UNKNOWN])
    # As if the sender had died: what IoTDA does not show is pending again, not failed.
    unread.update(
        state=ChunkState.UNKNOWN,
        token=F("token") + 1,
        due_at=Now(),
        attempts=0,
        misses=0,
        error_code=SENDER_LOST,
    )
