"""Whether anybody works in the background."""

import os
import socket
from datetime import timedelta

from django.db.models import QuerySet
from django.db.models.functions import Now

from iotda_admin.health.models import Worker

# Six times missed: a busy machine is not a dead one.
SILENCE = timedelta(seconds=30)
FORGOTTEN = timedelta(hours=1)


def beat() -> None:
    """Run by each worker every few seconds."""
    Worker.objects.update_or_create(
        host=socket.gethostname(), pid=os.getpid(), defaults={"seen_at": Now()}
    )
    Worker.objects.filter(seen_at__lt=Now() - FORGOTTEN).delete()


def alive() -> QuerySet[Worker]:
    return Worker.objects.filter(seen_at__gt=Now() - SILENCE)
