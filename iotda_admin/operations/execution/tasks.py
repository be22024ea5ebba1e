"""The workers' part: the transport only calls for attention, all that matters stands in our rows."""

import threading
import time

from django.conf import settings
from django.tasks import task
from django.utils import timezone

from iotda_admin.operations.execution.executor import execute_due_chunks
from iotda_admin.operations.execution.queues import database
from iotda_admin.operations.models import Operation
from iotda_admin.rate.connection import client

# After this long a task makes way: a transport may take one that runs for hours for dead.
SLICE_SECONDS = 60.0

# Set when this process is told to stop.
stopping = threading.Event()


def nudge(operation_id: int) -> None:
    """Call a worker. Calling twice does no harm: chunks are claimed one by one."""
    Operation.objects.filter(pk=operation_id).update(nudged_at=timezone.now())
    advance.enqueue()


@task
def advance() -> None:
    """Work on all that is due, in any operation."""
    until = time.monotonic() + SLICE_SECONDS
    execute_due_chunks(
        client(),
        lambda: stopping.is_set() or time.monotonic() > until,
        hurried=stopping.is_set,
    )
    if time.monotonic() > until and not stopping.is_set():
        advance.enqueue()


def transport() -> str:
    """The module that carries the calls."""
    return "redis" if settings.REDIS_URL else "database"


def prune() -> None:
    """Run by the worker now and then. Redis forgets by itself."""
    if not settings.REDIS_URL:
        database.prune()
