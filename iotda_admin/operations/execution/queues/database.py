"""The database as the transport: calls are rows beside our own."""

import logging
import time
from datetime import timedelta

from django.core.management import call_command
from django.db import DatabaseError, close_old_connections
from django.tasks import TaskResultStatus
from django.utils import timezone
from django.utils.crypto import get_random_string
from django_tasks_db.management.commands import db_worker
from django_tasks_db.models import DBTaskResult

log = logging.getLogger(__name__)
POLL_SECONDS = 0.02


class Consumer(db_worker.Worker):
    failures = DatabaseError

    def __init__(self) -> None:
        super().__init__(
            queue_names=["*"],
            interval=0,
            batch=True,
            backend_name="default",
            startup_delay=False,
            max_tasks=None,
            worker_id=get_random_string(32),
            excluded_queue_names=[],
        )

    def run(self) -> None:
        while self.running:
            super().run()  # until nothing is ready
            self.wait()

    def wait(self) -> None:
        """By a plain look, without the lock that taking a call needs, so it may be often."""
        while self.running and not DBTaskResult.objects.ready().exists():
            time.sleep(POLL_SECONDS)
            close_old_connections()

    @property
    def busy(self) -> bool:
        return self.running_task

    def unreachable(self, error: DatabaseError) -> None:
        log.warning("No calls can be taken: %s", error)


def prune() -> None:
    """Finished calls are of no use to anyone, nor are those whose worker was killed."""
    call_command("prune_db_task_results", min_age_days=1, verbosity=0)
    long_ago = timezone.now() - timedelta(days=1)
    DBTaskResult.objects.filter(
        status=TaskResultStatus.RUNNING, started_at__lt=long_ago
    ).delete()
