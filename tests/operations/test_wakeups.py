"""What wakes a worker: a notification on PostgreSQL, any commit on SQLite."""

import os
import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from iotda_admin.health.workers import record_heartbeat
from iotda_admin.operations.execution import wakeups
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


def wait_for_work(together: threading.Barrier, listening: threading.Barrier) -> float:
    """Wait as an idle worker does; return when it was woken."""
    together.wait(LONG)
    listener: Any = make_listener()
    assert listener.pipe is not None
    listening.wait(LONG)
    listener.wait(LONG)
    os.close(listener.pipe)
    connection.close()
    return time.monotonic()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("workers", [1, 3])
def test_on_sqlite_new_work_wakes_workers_before_they_look_for_commits(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path, workers: int
) -> None:
    """Also if they start together, and are woken before one of them reads the message."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL notifies")
    settings.DATA_DIR = tmp_path
    together, listening = threading.Barrier(workers), threading.Barrier(workers + 1)

    def select_together(*arguments: Any) -> Any:
        found = select.select(*arguments)
        together.wait(LONG)
        return found

    monkeypatch.setattr(wakeups, "POLL_SECONDS", LONG)
    monkeypatch.setattr(wakeups, "select", SimpleNamespace(select=select_together))
    with ThreadPoolExecutor(workers + 1) as pool:
        idle = [pool.submit(wait_for_work, together, listening) for _ in range(workers)]
        listening.wait(LONG)
        began = time.monotonic()
        pool.submit(commit_elsewhere).result()
        assert all(each.result() - began < LONG / 2 for each in idle)


@pytest.mark.django_db(transaction=True)
def test_a_file_in_place_of_the_pipe_does_not_make_workers_spin(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL notifies")
    settings.DATA_DIR = tmp_path
    (tmp_path / "wake-up").write_text("restored from a backup")
    monkeypatch.setattr(wakeups, "POLL_SECONDS", 0.3)
    listener, began = make_listener(), time.monotonic()
    notify_workers()
    listener.wait(0.1)
    assert time.monotonic() - began >= 0.3


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
