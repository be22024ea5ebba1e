"""Work of a restored backup, or interrupted for long, waits for a user."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from iotda_admin.access.actor import Actor
from iotda_admin.audit import head
from iotda_admin.audit.models import Event
from iotda_admin.operations.audit_log import audited_transaction
from iotda_admin.operations.cli.report import as_lines
from iotda_admin.operations.execution import batch_tasks, reconciliation
from iotda_admin.operations.execution.held_work import LastHeartbeat, hold_old_work
from iotda_admin.operations.execution.lifecycle import (
    cancel_operation,
    continue_operation,
)
from iotda_admin.operations.models import Operation, SenderHeartbeat
from iotda_admin.operations.services import dispatch
from iotda_admin.rate.connection import client
from tests.batch_task_helpers import run_until_finished
from tests.cloud import Cloud
from tests.conftest import HTMX, signed_in
from tests.operation_helpers import (
    outcome_counts,
    run_workers,
    target_states,
    write_requests,
)

Record = Callable[..., Operation]


@pytest.fixture(autouse=True)
def unremembered(settings: Settings, tmp_path: Path) -> Iterator[None]:
    settings.DATA_DIR = tmp_path
    LastHeartbeat.at = float("-inf")
    yield
    LastHeartbeat.at = float("-inf")


def restored() -> None:
    """Let this machine know an event that the database lacks."""
    head.write_head(head.Head(head.chain_head().seq + 5, "f" * 64))


def hold_restored() -> None:
    """Let a worker notice that the database was restored."""
    restored()
    hold_old_work()
    head.adopt_head()  # The transaction of a test is never committed.


def set_status(cloud: Cloud, device_id: str, status: str) -> None:
    """Change a device outside this program."""
    cloud.call("PATCH", f"devices/{device_id}", json={"status": status})


def read_back(operation: Operation) -> None:
    """Read until IoTDA has shown the same twice, as the worker does."""
    for _read in range(3):
        operation.chunks.exclude(state="done").update(due_at=timezone.now())
        reconciliation.reconcile_due()
        batch_tasks.poll_due_tasks()


def age(operation: Operation, hours: float) -> None:
    """Let the operation, and the last sign of a sender, be so old."""
    then = timezone.now() - timedelta(hours=hours)
    Operation.objects.filter(pk=operation.pk).update(created_at=then)
    SenderHeartbeat.objects.update_or_create(pk=1, defaults={"seen_at": then})


def test_nothing_of_a_restored_database_is_sent(
    record_operation: Record, inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(3))
    restored()
    run_workers()
    reconciliation.recover_stalled()
    dispatch(operation, client())
    assert write_requests(inventory) == []
    operation.refresh_from_db()
    assert (operation.state, operation.pause_cause) == ("paused", "restored")
    assert Event.objects.filter(kind="database.restored").count() == 1


def test_after_the_read_a_user_continues_it(
    record_operation: Record, inventory: Cloud, actor: Actor
) -> None:
    devices = inventory.free(3)
    operation = record_operation("device.freeze", *devices)
    hold_restored()
    assert not continue_operation(operation, actor)
    # Meanwhile another program freezes one of them.
    set_status(inventory, devices[0], "FROZEN")
    read_back(operation)
    assert target_states(operation) == dict(
        zip(devices, ["ok", "pending", "pending"], strict=True)
    )
    assert write_requests(inventory) == []
    assert continue_operation(operation, actor)
    run_workers()
    assert outcome_counts(operation) == {"ok": 3}
    assert len(write_requests(inventory)) == 2


def test_a_backup_of_a_held_operation_is_read_once_more(
    record_operation: Record, inventory: Cloud, actor: Actor
) -> None:
    """What was read before that backup may have changed since, too."""
    devices = inventory.free(2)
    operation = record_operation("device.freeze", *devices)
    hold_restored()
    read_back(operation)
    assert outcome_counts(operation) == {"pending": 2}
    # The backup is of now. Later a user continues, and it is restored.
    hold_restored()
    assert outcome_counts(operation) == {"unknown": 2}
    assert not continue_operation(operation, actor)
    set_status(inventory, devices[0], "FROZEN")
    read_back(operation)
    assert outcome_counts(operation) == {"ok": 1, "pending": 1}
    assert write_requests(inventory) == []


def test_a_call_without_an_answer_is_not_failed_but_waits(
    record_operation: Record, inventory: Cloud
) -> None:
    """It may have been applied after the backup, and undone since."""
    [device] = inventory.free(1)
    operation = record_operation("device.freeze", device)
    inventory.fault("FreezeDevice", "drop")
    run_workers()
    inventory.heal()
    assert outcome_counts(operation) == {"unknown": 1}
    hold_restored()
    read_back(operation)
    assert outcome_counts(operation) == {"pending": 1}
    assert operation.held


def test_a_batch_task_that_was_created_after_the_backup_is_found(
    record_operation: Record, platform: Cloud
) -> None:
    operation = record_operation("device.freeze", *platform.free(5))
    run_workers()
    [task] = operation.chunks.values_list("task_id", flat=True)
    assert task
    # The backup shows it as it was before.
    operation.chunks.update(state="pending", task_id="", sent_at=None, attempts=0)
    operation.targets.update(state="pending")
    hold_restored()
    read_back(operation)
    assert operation.chunks.get().task_id == task
    run_until_finished(operation)
    assert outcome_counts(operation) == {"ok": 5}
    assert len(write_requests(platform)) == 1


def test_a_held_operation_is_cancelled_before_it_is_read(
    record_operation: Record, inventory: Cloud, actor: Actor
) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    hold_restored()
    assert cancel_operation(operation, actor)
    read_back(operation)
    assert outcome_counts(operation) == {"cancelled": 2}
    assert operation.finished_at
    assert write_requests(inventory) == []


def test_the_database_is_accepted_once_its_work_is_held(
    record_operation: Record, inventory: Cloud
) -> None:
    restored()
    with audited_transaction():
        hold_old_work()
    head.adopt_head()
    operation = record_operation("device.freeze", *inventory.free(2))
    run_workers()
    assert outcome_counts(operation) == {"ok": 2}


def test_an_unreadable_file_holds_the_work(
    record_operation: Record, inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    head.head_file().write_text("")
    run_workers()
    operation.refresh_from_db()
    assert operation.held
    assert write_requests(inventory) == []


def test_work_that_was_interrupted_for_long_is_held(
    record_operation: Record, inventory: Cloud, actor: Actor
) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    age(operation, hours=1.1)
    run_workers()
    operation.refresh_from_db()
    assert (operation.state, operation.pause_cause) == ("paused", "interrupted")
    assert write_requests(inventory) == []
    read_back(operation)
    assert continue_operation(operation, actor)
    LastHeartbeat.at = float("-inf")
    run_workers()
    assert outcome_counts(operation) == {"ok": 2}


def test_work_that_was_interrupted_for_a_moment_goes_on(
    record_operation: Record, inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    age(operation, hours=0.9)
    run_workers()
    assert outcome_counts(operation) == {"ok": 2}


def test_new_work_after_an_idle_day_is_sent(
    record_operation: Record, inventory: Cloud
) -> None:
    then = timezone.now() - timedelta(days=1)
    SenderHeartbeat.objects.create(pk=1, seen_at=then)
    operation = record_operation("device.freeze", *inventory.free(2))
    run_workers()
    assert outcome_counts(operation) == {"ok": 2}


def test_resume_within_can_be_switched_off(
    record_operation: Record, inventory: Cloud, settings: Settings
) -> None:
    settings.RESUME_WITHIN = 0
    operation = record_operation("device.freeze", *inventory.free(2))
    age(operation, hours=100)
    run_workers()
    assert outcome_counts(operation) == {"ok": 2}


def test_the_page_says_why_and_asks(record_operation: Record, inventory: Cloud) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    hold_restored()
    operation.refresh_from_db()
    browser = signed_in("operator")
    text = browser.get(operation.get_absolute_url()).text
    assert "Paused: The database was restored from a backup." in text
    assert "2 targets are being read from IoTDA again." in text
    assert "0 of 2 answered" in text
    assert "Not sent, as far as this database shows." in text
    assert "gave no clear answer" not in text
    assert 'id="continue"' not in text
    assert 'id="cancel"' in text
    read_back(operation)
    text = browser.get(operation.get_absolute_url()).text
    assert "All targets were read from IoTDA again." in text
    assert "2 targets are not sent yet" in text
    assert 'id="continue"' in text
    browser.post(f"/operations/{operation.pk}/continue/", headers=HTMX)
    run_workers()
    assert outcome_counts(operation) == {"ok": 2}


def test_the_command_line_says_why(record_operation: Record, inventory: Cloud) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    age(operation, hours=2)
    run_workers()
    operation.refresh_from_db()
    lines = "\n".join(as_lines(operation, "frozen"))
    assert "Paused: No worker was sending for a long time." in lines
    assert "IoTDA says" not in lines


@pytest.mark.django_db(transaction=True)
def test_a_backup_that_is_copied_back_sends_nothing(
    inventory: Cloud, record_operation: Record, tmp_path: Path
) -> None:
    """Frozen and unfrozen after the backup, the devices stay as they are."""
    if connection.vendor != "sqlite":
        pytest.skip("The copy is of a SQLite file; docs/backup.md has the commands.")
    devices = inventory.free(5)
    operation = record_operation("device.freeze", *devices)
    live, copy = connection.settings_dict["NAME"], tmp_path / "backup.sqlite3"
    with closing(sqlite3.connect(live)) as source, closing(sqlite3.connect(copy)) as to:
        source.backup(to)
    run_workers()
    assert outcome_counts(operation) == {"ok": 5}
    for device in devices:
        set_status(inventory, device, "ONLINE")
    before = len(write_requests(inventory))
    connection.close()
    with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(live)) as to:
        source.backup(to)
    run_workers()
    read_back(operation)
    assert outcome_counts(operation) == {"pending": 5}
    assert operation.held
    assert len(write_requests(inventory)) == before
