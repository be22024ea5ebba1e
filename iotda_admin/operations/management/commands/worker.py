import logging
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections
from django.utils.module_loading import import_string

from iotda_admin.core.database import limit_waits
from iotda_admin.operations.execution.executor import execute_due_chunks
from iotda_admin.operations.execution.held_work import hold_old_work
from iotda_admin.operations.execution.jobs import JobScheduler
from iotda_admin.operations.execution.leases import work_waits
from iotda_admin.operations.execution.wakeups import WorkDetector, make_listener
from iotda_admin.rate.connection import client

log = logging.getLogger(__name__)

# Due work is found within this time even if a wake-up is lost.
CHECK_SECONDS = 1.0
LONGEST_PAUSE = 30.0
# A stopped worker has ended after this many seconds, whatever it waits for.
END_SECONDS = 9


class Command(BaseCommand):
    help = (
        "Sends operations in the background, reads back unanswered calls, and keeps "
        "the inventory fresh."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--metrics-port",
            type=int,
            help="answer /metrics, /healthz and /readyz on this port",
        )

    def handle(self, *args: Any, metrics_port: int | None, **options: Any) -> None:
        limit_waits(settings.WORKER_LOCK_TIMEOUT, settings.WORKER_STATEMENT_TIMEOUT)
        if metrics_port is not None:
            serve_metrics(metrics_port)
        worker = WorkerLoop()
        worker.obey_signals()
        jobs = JobScheduler()
        threading.Thread(target=jobs.run, name="jobs", daemon=True).start()
        worker.run()
        leave()


def serve_metrics(port: int) -> None:
    if not settings.METRICS_TOKEN:
        raise CommandError("--metrics-port needs METRICS_TOKEN.")
    try:
        import_string(settings.WORKER_METRICS_SERVER)(port)
    except (OSError, OverflowError) as error:
        raise CommandError(f"--metrics-port {port} cannot be used: {error}.") from None


class WorkerLoop:
    """The main thread's loop: sends what is due, then waits for more."""

    def __init__(self) -> None:
        # Not an event: a signal handler that sets one could wait for itself.
        self.stopping = self.busy = False

    def obey_signals(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self.stop)

    def stop(self, signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_DFL)  # a second one ends at once
        # The kernel's timer: while SQLite waits for a lock, Python handles no signal.
        # The leases give what could not be recorded to the next worker.
        signal.alarm(END_SECONDS)
        self.stopping = True
        if not self.busy:
            leave()

    def run(self) -> None:
        """Work until told to stop, however often the database fails meanwhile."""
        listener, detector, pause = make_listener(), WorkDetector(), CHECK_SECONDS
        started = False
        while not self.stopping:
            try:
                if not started:
                    # Before users find the database, which may be an older one.
                    hold_old_work()
                    started = True
                if detector.may_have_work():
                    self.send_due()
                    detector.found_all()
                listener.wait(CHECK_SECONDS)
                pause = CHECK_SECONDS
            except DatabaseError as error:
                log.warning("Cannot work: %s", error)
                pause = rest(pause)
            except Exception:
                log.exception("Cannot work")
                pause = rest(pause)

    def send_due(self) -> None:
        if not work_waits():
            return
        self.busy = True
        try:
            execute_due_chunks(client(), self.is_stopping, hurried=self.is_stopping)
        finally:
            self.busy = False

    def is_stopping(self) -> bool:
        return self.stopping


def rest(seconds: float) -> float:
    """Wait; return the longer wait that follows the next failure."""
    connections.close_all()
    time.sleep(seconds)
    return min(2 * seconds, LONGEST_PAUSE)


def leave() -> None:
    """Exit at once: a call of another thread may hang longer than a stopped process may.

    The leases give what the threads leave unfinished to the next worker.
    """
    sys.stdout.flush()
    os._exit(0)
