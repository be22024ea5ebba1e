"""What is recorded of each sync, and the list of the last ones."""

from datetime import timedelta

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices.sync import Devices
from iotda_admin.access.models import Grant
from iotda_admin.inventory import progress, sync
from iotda_admin.inventory.models import SyncRun
from iotda_admin.inventory.progress import SyncProgress
from iotda_admin.iotda import CallRecord
from iotda_admin.rate import connection
from tests.cloud import Cloud


def sync_again() -> SyncRun:
    run = SyncRun.objects.create()
    sync.run_sync(run, connection.client())
    run.refresh_from_db()
    return run


def test_a_run_counts_what_it_read_and_changed(inventory: Cloud) -> None:
    renamed, *gone = inventory.free(3)
    inventory.call("PATCH", f"devices/{renamed}", json={"device_name": "New"})
    for device in gone:
        inventory.call("DELETE", f"devices/{device}")
    before = len(inventory.journal())
    inventory.fault("ListProducts", "throttle", match={"times": 1}, retry_after=0)
    run = sync_again()
    assert (run.state, run.changed, run.gone) == ("done", 1, 2)
    assert run.calls == len(inventory.journal()) - before
    # The throttled one, and the questions for the devices that the list left out.
    assert run.failed_calls == 3
    first = SyncRun.objects.last()
    assert first
    assert run.rows == first.rows - 2
    assert (sync_again().changed, sync_again().gone) == (0, 0)


def test_a_failed_run_keeps_its_counts_and_its_error(inventory: Cloud) -> None:
    inventory.fault("ListDevices", "status", status=403, error_msg="no permission")
    run = sync_again()
    assert run.state == "failed"
    assert run.calls > run.failed_calls == 1
    assert run.rows


def test_devices_that_are_gone_are_deleted_in_one_statement(inventory: Cloud) -> None:
    for device in inventory.free(5):
        inventory.call("DELETE", f"devices/{device}")
    with CaptureQueriesContext(database) as queries:
        assert sync_again().gone == 5
    deletes = [q["sql"] for q in queries if q["sql"].startswith("DELETE FROM")]
    assert len([sql for sql in deletes if '"devices_device"' in sql]) == 1


def test_the_counts_are_written_while_the_run_goes_on(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, mirror = SyncRun.objects.create(state="running"), Devices()
    counted = SyncProgress(run)
    counted.observe(CallRecord("ListDevices", 200, 0.1))
    mirror.changed = 2
    counted.add(mirror, 50)
    assert SyncRun.objects.get().rows == 0
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0)
    counted.add(mirror, 50)
    stored = SyncRun.objects.get()
    assert (stored.rows, stored.changed, stored.calls) == (100, 2, 1)
    assert stored.alive_at


def running(rows: int, seconds: float) -> None:
    SyncRun.objects.create(
        state="running",
        rows=rows,
        calls=1200,
        started_at=timezone.now() - timedelta(seconds=seconds),
    )


def test_the_line_shows_calls_and_the_time_left(db: None, viewer: Client) -> None:
    running(rows=25_000, seconds=300)
    page = viewer.get("/inventory/").text
    assert "1,200 calls" in page
    assert " left" not in page  # nothing to compare with
    SyncRun.objects.update(state="done", rows=100_000)
    running(rows=25_000, seconds=300)
    assert "about 15 min left" in viewer.get("/inventory/").text


def test_the_page_lists_the_last_runs(inventory: Cloud, viewer: Client) -> None:
    SyncRun.objects.update(rows=41_234, error="IoTDA was away.", state="failed")
    page = viewer.get("/inventory/").text
    assert "41,234" in page
    assert "IoTDA was away." in page
    assert "Last syncs" in viewer.get("/").text


def test_a_user_of_one_space_sees_no_counts(inventory: Cloud, viewer: Client) -> None:
    SyncRun.objects.update(rows=41_234, calls=1200)
    Grant.objects.filter(user__username="viewer").update(app_id="one-space")
    page = viewer.get("/inventory/").text
    assert "Last syncs" in page
    assert "41,234" not in page
    assert "1,200" not in page
