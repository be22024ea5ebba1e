"""Liveness, readiness and metrics."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from iotda_admin.health import checks, workers
from iotda_admin.health.models import Worker, WriteCheck
from iotda_admin.inventory.models import SyncRun
from tests.cloud import ROOT, Cloud
from tests.operation_helpers import change_form

TOKEN = "canary-metrics-token"


def ready(client: Any, query: str = "") -> tuple[Any, ...]:
    answer = client.get(f"/readyz{query}")
    return answer.status_code, answer.json()


def test_it_is_ready_with_a_worker_and_an_inventory(
    anonymous: Client, inventory: Cloud
) -> None:
    workers.record_heartbeat()
    names = [
        "database", "disk", "migrations", "audit", "secret_key", "worker", "platform",
    ]  # fmt: skip
    assert ready(anonymous) == (
        200,
        {"status": "ok", "checks": dict.fromkeys(names, "ok")},
    )


def test_it_is_not_ready_when_the_worker_is_silent(
    anonymous: Client, inventory: Cloud
) -> None:
    workers.record_heartbeat()
    Worker.objects.update(seen_at=timezone.now() - timedelta(seconds=31))
    status, said = ready(anonymous)
    assert (status, said["checks"]["worker"]) == (503, "failed")
    assert ready(anonymous, "?exclude=worker")[0] == 200


@pytest.fixture
def other_connection(transactional_db: None) -> Iterator[Any]:
    """A connection of another process, which can hold locks."""
    opened = connection.copy()
    opened.inc_thread_sharing()
    yield opened
    opened.close()


def test_it_is_not_ready_while_the_database_is_locked(
    anonymous: Client, other_connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "WRITE_SECONDS", 0)
    monkeypatch.setattr(checks, "LOCK_SECONDS", 1)
    assert ready(anonymous)[1]["checks"]["database"] == "ok"
    with transaction_of(other_connection) as cursor:
        if connection.vendor == "postgresql":
            table = WriteCheck._meta.db_table
            cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        started = time.monotonic()
        status, said = ready(anonymous)
        assert (status, said["checks"]["database"]) == (503, "failed")
        assert time.monotonic() - started < 5
        # A process that answers does not have to be restarted.
        assert anonymous.get("/healthz").status_code == 200
    assert ready(anonymous)[1]["checks"]["database"] == "ok"


@contextmanager
def transaction_of(other: Any) -> Iterator[Any]:
    other.ensure_connection()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        if other.vendor == "sqlite":
            cursor.execute("BEGIN IMMEDIATE")
        yield cursor
    other.rollback()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has its own disk")
def test_it_is_not_ready_when_the_disk_refuses_a_write(
    anonymous: Client, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "WRITE_SECONDS", 0)
    assert ready(anonymous)[1]["checks"]["database"] == "ok"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        found = ready(anonymous)[1]["checks"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert found["database"] == "failed"
    assert ready(anonymous)[1]["checks"]["database"] == "ok"


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has its own disk")
def test_it_is_not_ready_without_room_on_the_disk(
    anonymous: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "FREE_BYTES", 10**18)
    status, said = ready(anonymous)
    assert (status, said["checks"]["disk"]) == (503, "failed")


def test_readiness_is_not_a_write_for_each_request(anonymous: Client, db: None) -> None:
    ready(anonymous)
    with CaptureQueriesContext(connection) as queries:
        ready(anonymous)
    assert not [each for each in queries if each["sql"].startswith("UPDATE")]


def test_a_failed_sync_degrades_readiness_without_failing_it(
    anonymous: Client, inventory: Cloud
) -> None:
    workers.record_heartbeat()
    SyncRun.objects.create(state="failed", finished_at=timezone.now())
    before = len(inventory.journal())
    status, said = ready(anonymous)
    assert (status, said["status"], said["checks"]["platform"]) == (
        200,
        "degraded",
        "failed",
    )
    assert len(inventory.journal()) == before


def test_it_is_not_ready_when_the_trail_is_not_protected(
    anonymous: Client, db: None
) -> None:
    workers.record_heartbeat()
    with connection.cursor() as cursor:
        on = " ON audit_event" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER audit_event_update{on}")
    assert ready(anonymous)[1]["checks"]["audit"] == "failed"


def test_repeated_heartbeats_are_one_worker(db: None) -> None:
    workers.record_heartbeat()
    workers.record_heartbeat()
    assert workers.live_workers().count() == 1


@pytest.mark.parametrize("page", ["/", "/operations/{}/"])
def test_a_page_warns_that_no_worker_runs(
    operator: Client, inventory: Cloud, page: str
) -> None:
    # A request sends one device itself; two need a worker.
    selection = {"target": inventory.free(2), **change_form()}
    operation = operator.post("/devices/selection.freeze/", selection, follow=True)
    assert operation.status_code == 200
    number = operation.request["PATH_INFO"].strip("/").rpartition("/")[2]
    assert "No worker is running." in operator.get(page.format(number)).text
    workers.record_heartbeat()
    assert "No worker is running." not in operator.get(page.format(number)).text


def test_metrics_need_the_token(anonymous: Client, settings: Settings) -> None:
    assert anonymous.get("/metrics").status_code == 404
    settings.METRICS_TOKEN = TOKEN
    assert anonymous.get("/metrics").status_code == 401
    assert (
        anonymous.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code
        == 401
    )
    assert (
        anonymous.get(
            "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        ).status_code
        == 200
    )


def numbers(client: Any, settings: Settings) -> dict[Any, Any]:
    settings.METRICS_TOKEN = TOKEN
    text = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line[0] != "#"
    }


def test_metrics_count_requests_calls_operations_and_failures(
    operator: Client, inventory: Cloud, settings: Settings
) -> None:
    answer = (
        'iotda_admin_requests_total{method="POST",route="devices:freeze",status="200"}'
    )
    call = 'iotda_admin_iotda_calls_total{operation="ShowDevice",status="404"}'
    before = numbers(operator, settings)
    device = inventory.known_ids["online"]
    inventory.call("DELETE", f"devices/{device}")
    operator.post(
        f"/devices/{device}/freeze/", change_form(), headers={"HX-Request": "true"}
    )
    after = numbers(operator, settings)
    assert after['iotda_admin_failures_open{state="failed"}'] == 1
    assert after["iotda_admin_audit_head"] > before["iotda_admin_audit_head"]
    assert after[answer] == before.get(answer, 0) + 1
    # A second answer has to agree that the device does not exist.
    assert after[call] == before.get(call, 0) + 2


COUNT = """
import django, os
django.setup()
from iotda_admin.core import metrics
metrics.THROTTLED.inc()
if os.fork() == 0:
    metrics.THROTTLED.inc()
    os._exit(0)
os.wait()
print(metrics.registry().get_sample_value("iotda_admin_iotda_throttled_total"), flush=True)
os.kill(os.getpid(), 9)
"""


def test_metrics_of_all_processes_survive_in_a_bounded_number_of_files(
    tmp_path: Path,
) -> None:
    env = os.environ | {
        "TEST_DATA_DIR": str(tmp_path),
        "METRICS_TOKEN": TOKEN,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    command = [sys.executable, "-c", COUNT]
    said = [
        subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]
    assert said == ["2.0\n", "4.0\n"]
    assert len(list((tmp_path / "metrics").glob("counter_*.db"))) == 2
