"""The workers' part: the transport only calls for attention, all that matters stands in our rows."""

import time

from django.core.management import call_command
from django.tasks import task
from django.utils import timezone

from iotda_admin.connection import client
from iotda_admin.operations.models import Chunk, Operation
from iotda_admin.operations.runner import run

# A worker that is told to stop finishes its slice; a longer one would keep it waiting.
SLICE_SECONDS = 4.0


def nudge(operation_id: int) -> None:
    """Call a worker for this operation. Calling twice does no harm: chunks are claimed one by one."""
    Operation.objects.filter(pk=operation_id).update(nudged_at=timezone.now())
    advance.enqueue(operation_id)


@task
def advance(operation_id: int) -> None:
    """Send the due chunks of an operation for a few seconds, then make room for the next operation."""
    until = time.monotonic() + SLICE_SECONDS
    while chunk_id := next_due(operation_id):
        run(chunk_id, client())
        if time.monotonic() > until:
            nudge(operation_id)
            return


def prune() -> None:
    """Run by the worker now and then: finished calls for attention are of no use to anyone."""
    call_command("prune_db_task_results", min_age_days=1, verbosity=0)


def next_due(operation_id: int) -> int | None:
    chunks = Chunk.objects.filter(
        operation=operation_id,
        state=Chunk.State.PENDING,
        due_at__lte=timezone.now(),
        operation__state=Operation.State.RUNNING,
    )
    return chunks.order_by("number").values_list("pk", flat=True).first()
