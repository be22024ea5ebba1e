import importlib
import logging
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import OperationalError, close_old_connections
from django.utils.crypto import get_random_string
from django.utils.module_loading import import_string
from django_tasks_db.management.commands import db_worker

from iotda_admin.operations import tasks

log = logging.getLogger(__name__)
POLL_SECONDS = 0.1


class Command(BaseCommand):
    help = "Runs operations in the background, settles unanswered ones, and keeps the inventory fresh."

    def handle(self, *args: Any, **options: Any) -> None:
        for path, seconds in settings.WORKER_JOBS.items():
            importlib.import_module(path.rpartition(".")[0])
            job = threading.Thread(target=repeat, args=(import_string(path), seconds), name=path, daemon=True)
            job.start()
        worker = Worker(
            queue_names=["*"],
            interval=POLL_SECONDS,
            batch=False,
            backend_name="default",
            startup_delay=False,
            max_tasks=None,
            worker_id=get_random_string(32),
            excluded_queue_names=[],
        )
        worker.configure_signals()
        worker.run()


class Worker(db_worker.Worker):
    def shutdown(self, signum: int, frame: FrameType | None) -> None:
        # The task that runs would go on for a minute.
        tasks.stopping.set()
        super().shutdown(signum, frame)


def repeat(job: Callable[[], None], seconds: float) -> None:
    """Daemon threads: what a job leaves half-done, its lease gives to the next worker."""
    pause = threading.Event()
    while True:
        close_old_connections()
        try:
            job()
        except OperationalError as error:
            log.warning("%s: %s", job.__name__, error)
        except Exception:
            # One fault must not end the job for good.
            log.exception("%s failed", job.__name__)
        pause.wait(seconds)
