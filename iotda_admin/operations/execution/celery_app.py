"""Celery as the engine, with its stock worker and beat. Loaded only with CELERY_BROKER_URL.

Leases, fencing tokens and reconciliation are those of `manage.py worker`. A message only
says that there may be work, so Celery may lose or repeat any.
"""

import fcntl
import logging
import threading
import time
from typing import Any

from celery import Celery  # type: ignore[import-untyped]
from django.conf import settings
from django.utils.module_loading import import_string

from iotda_admin.operations.execution.executor import execute_due_chunks
from iotda_admin.operations.execution.leases import work_waits
from iotda_admin.rate.connection import client

log = logging.getLogger(__name__)

# A worker that is told to stop ends after its slice and the calls under way.
SLICE_SECONDS = 5.0
# A web request waits no longer for the broker. The message is sent by then or given up.
PUBLISH_SECONDS = 1.0
FORGET_SECONDS = 600
REDIS_TIMEOUTS = {"socket_connect_timeout": 1, "socket_timeout": 5}

app = Celery("iotda_admin", broker=settings.CELERY_BROKER_URL)
app.conf.update(
    task_default_queue="iotda-admin",
    worker_concurrency=4,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    beat_schedule_filename=str(settings.DATA_DIR / "celerybeat-schedule"),
    beat_schedule={"advance": {"task": "iotda_admin.advance", "schedule": 1.0}}
    | {
        path: {"task": "iotda_admin.run_job", "args": [path], "schedule": seconds}
        for path, seconds in settings.WORKER_JOBS.items()
    },
)


@app.task(bind=True, name="iotda_admin.advance", expires=FORGET_SECONDS)  # type: ignore[untyped-decorator]
def advance(task: Any) -> None:
    """Send due chunks for a slice of time, in one process of each Celery worker."""
    with (settings.DATA_DIR / f"celery-{task.request.hostname}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # The other processes are free for the jobs.
        until = time.monotonic() + SLICE_SECONDS
        if work_waits():
            execute_due_chunks(client(), lambda: time.monotonic() > until)
    if time.monotonic() > until:
        publish()


@app.task(name="iotda_admin.run_job", expires=FORGET_SECONDS)  # type: ignore[untyped-decorator]
def run_job(path: str) -> None:
    if path in settings.WORKER_JOBS:
        import_string(path)()


def notify_celery() -> None:
    """Wake a worker; with the broker down, beat does so once it is back."""
    sender = threading.Thread(target=publish, daemon=True)
    sender.start()
    sender.join(PUBLISH_SECONDS)


def publish() -> None:
    try:
        with app.connection_for_write(
            connect_timeout=1, transport_options=REDIS_TIMEOUTS
        ) as broker:
            advance.apply_async(connection=broker, retry=False)
    except Exception as error:
        log.warning("The broker of Celery cannot be reached: %s", error)
