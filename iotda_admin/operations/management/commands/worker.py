import importlib
import logging
import threading
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, close_old_connections
from django.utils.module_loading import import_string

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Runs operations in the background, settles unanswered ones, and keeps the inventory fresh."

    def handle(self, *args: Any, **options: Any) -> None:
        for path, seconds in settings.WORKER_JOBS.items():
            importlib.import_module(path.rpartition(".")[0])
            job = threading.Thread(target=repeat, args=(import_string(path), seconds), name=path, daemon=True)
            job.start()
        call_command(
            "db_worker",
            interval=0.3,
            reload=False,
            startup_delay=False,
            queue_name="*",
            verbosity=options["verbosity"],
        )


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
