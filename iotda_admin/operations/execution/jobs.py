"""Runs the functions of `settings.WORKER_JOBS` again and again."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import NoReturn

from django.conf import settings
from django.db import DatabaseError, connections
from django.utils.module_loading import import_string

from iotda_admin.operations.execution.wakeups import WorkDetector

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
# Most jobs find nothing to do: the next one then uses the same thread and connection.
# A job that takes longer goes on beside the others.
SHORT_SECONDS = 0.05


@dataclass
class Job:
    function: Callable[[], None]
    seconds: float
    due_at: float = 0.0
    run: Future[None] | None = None

    def is_due(self) -> bool:
        return time.monotonic() >= self.due_at and (self.run is None or self.run.done())


class JobScheduler:
    """Starts each job when its time has come and there may be something to do.

    A job never runs twice at the same time. `run` is for a daemon thread.
    """

    def __init__(self) -> None:
        self.jobs = [
            Job(import_string(path), seconds)
            for path, seconds in settings.WORKER_JOBS.items()
        ]
        self.pool = ThreadPoolExecutor(len(self.jobs) or 1, thread_name_prefix="job")
        self.detector = WorkDetector()

    def run(self) -> NoReturn:
        while True:
            run_job(self.tick)
            time.sleep(TICK_SECONDS)

    def tick(self) -> None:
        if not self.detector.may_have_work():
            return
        for job in self.jobs:
            if job.is_due():
                job.due_at = time.monotonic() + job.seconds - TICK_SECONDS / 2
                job.run = self.pool.submit(run_job, job.function)
                wait([job.run], timeout=SHORT_SECONDS)
        self.detector.found_all()


def run_job(function: Callable[[], None]) -> None:
    """Call the function; a failure must not end its thread."""
    name = f"{function.__module__}.{function.__name__}"
    try:
        function()
    except DatabaseError as error:
        log.warning("%s: %s", name, error)
        connections.close_all()
    except Exception:
        log.exception("%s failed", name)
        connections.close_all()
