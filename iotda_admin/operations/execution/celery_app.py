"""Celery as the engine, with its stock worker and beat. Loaded only with CELERY_BROKER_URL.

Leases, fencing tokens and reconciliation are those of `manage.py worker`. A message only
says that there may be work, so Celery may lose or repeat any.
"""

import fcntl
import logging
import os
import threading
import time
from typing import Any

import django
from celery import Celery  # type: ignore[import-untyped]
from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iotda_admin.settings")
if not apps.ready:
    django.setup()

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
            tasks["advance"].apply_async(
                connection=broker, retry=False, expires=FORGET_SECONDS
            )
    except Exception as error:
        log.warning("The broker of Celery cannot be reached: %s", error)


app = Celery("iotda_admin", broker=settings.CELERY_BROKER_URL)
tasks = {
    "advance": app.task(advance, bind=True, name="iotda_admin.advance"),
    "run_job": app.task(run_job, name="iotda_admin.run_job"),
}
options = {"options": {"expires": FORGET_SECONDS}}
app.conf.update(
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=True,
    task_default_queue="iotda-admin",
    worker_concurrency=4,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    beat_schedule_filename=str(settings.DATA_DIR / "celerybeat-schedule"),
    beat_schedule={
        "advance": {"task": "iotda_admin.advance", "schedule": 1.0, **options}
    }
    | {
        path: {"task": "iotda_admin.run_job", "args": [path], "schedule": s, **options}
        for path, s in settings.WORKER_JOBS.items()
    },
)
