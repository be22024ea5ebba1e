"""What wakes a worker: a notification on PostgreSQL, any commit on SQLite."""

import threading
import time
from typing import Any

import pytest
from django.db import connection, transaction

from iotda_admin.health.workers import record_heartbeat
from iotda_admin.operations.execution.wakeups import make_listener, notify_workers

LONG = 20


def commit_elsewhere() -> None:
    with transaction.atomic():
        record_heartbeat()
        notify_workers()
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_commit_of_another_process_wakes_a_listener() -> None:
    listener: Any = make_listener()
    listener.wait(0.1)
    other = threading.Timer(0.3, commit_elsewhere)
    other.start()
    began = time.monotonic()
    listener.wait(LONG)
    assert time.monotonic() - began < LONG / 2
    other.join()
    if connection.vendor == "postgresql":
        listener.session.close()


@pytest.mark.django_db(transaction=True)
def test_a_listener_that_lost_its_session_reconnects_after_its_wait() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite needs no session")
    listener: Any = make_listener()
    listener.wait(0.1)
    listener.session.close()
    listener.wait(0.1)
    assert listener.session is None
    listener.retry_at = 0.0
    listener.wait(0.1)
    assert listener.session
    listener.session.close()
