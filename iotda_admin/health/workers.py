"""Heartbeats of the workers."""

import os
import socket
from datetime import timedelta

from django.db.models import QuerySet
from django.db.models.functions import Now

from iotda_admin.health.models import Worker

# Six missed heartbeats: a busy machine may miss some.
SILENCE = timedelta(seconds=30)
FORGOTTEN = timedelta(hours=1)


def record_heartbeat() -> None:
    """Record that this worker is alive; it does so every few seconds."""
    own = Worker(host=socket.gethostname(), pid=os.getpid(), seen_at=Now())
    known = Worker.objects.filter(host=own.host, pid=own.pid)
    if not known.update(seen_at=Now()):
        own.save()
        Worker.objects.filter(seen_at__lt=Now() - FORGOTTEN).delete()


def live_workers() -> QuerySet[Worker]:
    # A time in the future is from before the clock was set back.
    return Worker.objects.filter(
        seen_at__gt=Now() - SILENCE, seen_at__lt=Now() + SILENCE
    )
