import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import OperationalError, close_old_connections
from django.utils.module_loading import import_string

from iotda_admin.operations.execution import tasks

log = logging.getLogger(__name__)
LONGEST_PAUSE = 30.0
# A stopped worker has ended after so many seconds, whatever it waits for.
END_SECONDS = 9


class Command(BaseCommand):
    help = "Runs operations in the background, settles unanswered ones, and keeps the inventory fresh."

    def handle(self, *args: Any, **options: Any) -> None:
        # What a transport needs is loaded only where it is used.
        consumer = import_string(
            f"iotda_admin.operations.execution.queues.{tasks.transport()}.Consumer"
        )()
        obey_signals(consumer)
        for path, seconds in settings.WORKER_JOBS.items():
            importlib.import_module(path.rpartition(".")[0])
            job = threading.Thread(
                target=repeat,
                args=(import_string(path), seconds),
                name=path,
                daemon=True,
            )
            job.start()
        consume(consumer)
        leave()


def obey_signals(consumer: Any) -> None:
    def stop(signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_DFL)  # a second one ends at once
        # The kernel's own clock: a locked database holds this thread where Python hears of nothing. What it
        # could not write down, its leases give to the next worker.
        signal.alarm(END_SECONDS)
        tasks.stopping.set()
        consumer.running = False
        if not consumer.busy:
            leave()

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)


def consume(consumer: Any) -> None:
    """Until told to stop, whatever becomes of the transport meanwhile."""
    pause = 0.5
    while consumer.running:
        started = time.monotonic()
        try:
            consumer.run()
        except consumer.failures as error:
            consumer.unreachable(error)
        except Exception:
            log.exception("A call could not be answered")
        if consumer.running:
            close_old_connections()
            pause = (
                1.0
                if time.monotonic() - started > LONGEST_PAUSE
                else min(2 * pause, LONGEST_PAUSE)
            )
            # Not an event's wait: the handler of a signal that sets it would wait for itself.
            time.sleep(pause)


def leave() -> None:
    """At once: another thread's call may hang for longer than a stopped process may stay. What the threads
    leave half-done, their leases give to the next worker."""
    sys.stdout.flush()
    os._exit(0)


def repeat(job: Callable[[], None], seconds: float) -> None:
    """For a daemon thread."""
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
