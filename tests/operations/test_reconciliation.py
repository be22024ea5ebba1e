"""Chunks without an answer are read back; stalled operations go on."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from devices.models import Device
from iotda_admin.iotda import Unreachable
from iotda_admin.operations.error_codes import SENDER_LOST
from iotda_admin.operations.execution import executor, reconciliation
from iotda_admin.operations.execution.leases import heartbeat, lease_chunk, work_waits
from iotda_admin.operations.execution.result_writer import ChunkResult, write_results
from iotda_admin.operations.followups.undo import UndoPlan
from iotda_admin.operations.models import Chunk, Operation
from iotda_admin.rate import connection
from tests.cloud import Cloud
from tests.operation_helpers import (
    make_everything_due,
    outcome_counts,
    reconcile_now,
    run_workers,
    target_states,
)


def waits_after(
    seconds: Any, record_operation: Callable[..., Operation], *ids: Any
) -> Any:
    """Return whether a worker finds work this long after it was recorded."""
    record_operation("device.freeze", *ids)
    Chunk.objects.update(due_at=timezone.now() - timedelta(seconds=seconds))
    return work_waits()


def test_an_operation_that_nobody_started_is_found(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    assert waits_after(2, record_operation, *inventory.free(1))
    run_workers()
    assert outcome_counts(Operation.objects.get()) == {"ok": 1}
    assert not work_waits()


def test_workers_send_an_operation_of_several_chunks_at_once(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    assert waits_after(0, record_operation, *inventory.free(2))


def test_workers_send_a_batch_task_at_once(
    record_operation: Callable[..., Operation], inventory: Cloud, settings: Settings
) -> None:
    settings.BATCH_TASK_ABOVE = 1
    assert waits_after(0, record_operation, *inventory.free(2))


def test_a_chunk_that_is_not_due_does_not_wake_a_worker(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    assert not waits_after(-300, record_operation, *inventory.free(2))


def test_a_paused_operation_does_not_wake_a_worker(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    later = timezone.now() + timedelta(minutes=5)
    assert waits_after(0, record_operation, *inventory.free(2))
    Operation.objects.update(waits_until=later)
    assert not work_waits()


def test_a_running_lease_is_respected(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(1))
    lease_chunk(operation.chunks.get())
    reconciliation.recover_stalled()
    assert outcome_counts(operation) == {"sent": 1}


def test_an_expired_lease_is_taken_over_with_a_new_fencing_token(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(1))
    token = lease_chunk(operation.chunks.get()).chunk.token
    Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    reconciliation.expire_leases()
    assert outcome_counts(operation) == {"unknown": 1}
    assert operation.chunks.get().token == token + 1


def test_the_lease_is_longer_than_all_calls_together(
    record_operation: Callable[..., Operation], settings: Settings, inventory: Cloud
) -> None:
    settings.IOTDA_DEADLINE = 7
    operation = record_operation("device.freeze", *inventory.free(1))
    chunk = lease_chunk(operation.chunks.get()).chunk
    chunk.refresh_from_db()
    assert chunk.lease_until - chunk.sent_at > timedelta(seconds=3 * 7)


@pytest.mark.parametrize("wrong", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_wrong_clock_neither_expires_leases_nor_loses_them(
    record_operation: Callable[..., Operation],
    inventory: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    wrong: Any,
) -> None:
    operation, now = record_operation("device.freeze", *inventory.free(1)), timezone.now
    sending = lease_chunk(operation.chunks.get())
    monkeypatch.setattr(timezone, "now", lambda: now() + wrong)
    reconciliation.expire_leases()
    heartbeat([sending])
    monkeypatch.undo()
    reconciliation.expire_leases()
    assert outcome_counts(operation) == {"sent": 1}


def test_only_one_reads_back_at_a_time(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(1))
    lease_chunk(operation.chunks.get())
    Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    reconciliation.expire_leases()
    make_everything_due()
    assert [
        reconciliation.ReadBack(operation).lease(9),
        reconciliation.ReadBack(operation).lease(9),
    ] == [True, False]


def test_a_stopped_operation_sends_nothing_more(
    start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    inventory.fault(
        "FreezeDevice",
        "status",
        match={"times": 1},
        status=403,
        error_code="IOTDA.000022",
    )
    operation = start_operation("device.freeze", *inventory.free(3))
    run_workers()
    reconciliation.recover_stalled()
    run_workers()
    assert outcome_counts(operation) == {"failed": 1, "skipped": 2}
    assert (
        connection.client().show_device(operation.targets.last().target_id).status
        != "FROZEN"
    )


@pytest.fixture
def unanswered(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> Callable[..., Any]:
    """An operation on one device whose sender died, and its chunk."""

    def make(device: Any) -> tuple[Any, ...]:
        operation = record_operation("device.freeze", device)
        lease_chunk(operation.chunks.get())
        Chunk.objects.filter(operation=operation).update(
            lease_until=timezone.now() - timedelta(seconds=1)
        )
        reconciliation.expire_leases()
        return operation, operation.chunks.get()

    return make


@pytest.fixture
def two_readers(unanswered: Callable[..., Any], inventory: Cloud) -> Callable[..., Any]:
    """A slow reader of an unanswered change, and one who has taken over from it."""

    def take(misses: Any) -> tuple[Any, ...]:
        operation, _chunk = unanswered(*inventory.free(1))
        Chunk.objects.update(misses=misses)
        readers = [
            reconciliation.ReadBack(operation),
            reconciliation.ReadBack(operation),
        ]
        for reader in readers:
            Chunk.objects.update(due_at=timezone.now())
            assert reader.lease(9)
        return operation, *readers

    return take


def test_the_first_read_back_counts_and_a_late_one_is_ignored(
    two_readers: Callable[..., Any], inventory: Cloud
) -> None:
    (device,) = inventory.free(1)
    operation, slow, quick = two_readers(1)
    quick.record({device: True})
    slow.record({device: False})
    assert outcome_counts(operation) == {"ok": 1}


def test_a_reader_that_lost_its_lease_writes_no_result(
    two_readers: Callable[..., Any], inventory: Cloud
) -> None:
    (device,) = inventory.free(1)
    operation, slow, quick = two_readers(1)
    slow.record({device: False})
    assert outcome_counts(operation) == {"unknown": 1}
    quick.record({device: True})
    assert outcome_counts(operation) == {"ok": 1}


def test_no_outcome_is_written_while_a_later_attempt_is_open(
    unanswered: Callable[..., Any], inventory: Cloud
) -> None:
    (device,) = inventory.free(1)
    first, _chunk = unanswered(device)
    unanswered(device)
    make_everything_due()
    reconciliation.reconcile_operation(first.pk, connection.client())
    assert outcome_counts(first) == {"unknown": 1}
    assert first.chunks.get().state == "unknown"


def test_a_later_attempt_of_unknown_outcome_does_not_delay_an_earlier_one(
    unanswered: Callable[..., Any],
    start_operation: Callable[..., Operation],
    inventory: Cloud,
) -> None:
    (device,) = inventory.free(1)
    tries = [unanswered(device)[0] for _ in range(2)]
    assert outcome_counts(start_operation("device.freeze", device)) == {"ok": 1}
    reconcile_now()
    reconcile_now()
    assert [outcome_counts(each) for each in tries] == [{"unknown": 1}] * 2
    assert all(each.finished_at for each in tries)


@pytest.fixture
def half_changed(
    record_operation: Callable[..., Operation],
    start_operation: Callable[..., Operation],
    inventory: Cloud,
    settings: Settings,
) -> tuple[Any, ...]:
    """A chunk that is to be sent again, except for one target that another operation has changed since."""
    settings.READ_BACK_GAP = 0
    first, changed, last = devices = sorted(inventory.free(3))
    operation = record_operation("policy.bind", *devices)
    lease_chunk(operation.chunks.get())
    Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    reconciliation.expire_leases()
    start_operation("policy.unbind", changed)
    reconcile_now()
    reconcile_now()
    assert target_states(operation) == {
        first: "pending",
        changed: "unknown",
        last: "pending",
    }
    return operation, changed


@pytest.mark.parametrize("refused", [False, True])
def test_a_target_changed_since_is_left_out_of_the_next_attempt(
    half_changed: tuple[Any, ...], inventory: Cloud, refused: bool
) -> None:
    operation, changed = half_changed
    if refused:
        # The ids go singly then.
        inventory.fault("BindDevicePolicy", "status", match={"times": 1}, status=400)
    run_workers()
    assert outcome_counts(operation) == {"ok": 2, "unknown": 1}
    assert target_states(operation)[changed] == "unknown"
    assert changed not in inventory.bound(operation.policy_id)
    assert operation.finished_at


def test_an_operation_ends_although_its_last_result_writer_died(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    first, second = (lease_chunk(chunk) for chunk in operation.chunks.all())
    answer = executor.send_request(first, connection.client())
    executor.send_request(second, connection.client())
    Chunk.objects.filter(pk=second.chunk.pk).update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )
    reconciliation.expire_leases()
    make_everything_due()
    reconciliation.reconcile_operation(operation.pk, connection.client())
    write_results([answer], busy={operation.pk})
    assert (outcome_counts(operation), operation.finished_at) == ({"ok": 2}, None)
    reconciliation.recover_stalled()
    operation.refresh_from_db()
    assert (operation.state, bool(operation.finished_at)) == ("done", True)


def test_the_chunk_of_a_dead_sender_is_not_read_back_while_its_call_may_arrive(
    unanswered: Callable[..., Any], settings: Settings, inventory: Cloud
) -> None:
    settings.IOTDA_DEADLINE = 60
    _operation, chunk = unanswered(*inventory.free(1))
    assert chunk.due_at > chunk.sent_at + timedelta(seconds=60)
    assert not reconciliation.chunks_to_read_back()


def test_an_unapplied_chunk_of_a_dead_sender_is_sent_again(
    unanswered: Callable[..., Any], inventory: Cloud
) -> None:
    (device,) = inventory.free(1)
    operation, _chunk = unanswered(device)
    reconcile_now()
    assert outcome_counts(operation) == {"unknown": 1}
    reconcile_now()
    run_workers()
    assert outcome_counts(operation) == {"ok": 1}
    assert [entry["applied"] for entry in inventory.journal("FreezeDevice")] == [
        [device]
    ]


def test_it_is_not_sent_again_after_a_later_request(
    unanswered: Callable[..., Any],
    start_operation: Callable[..., Operation],
    inventory: Cloud,
) -> None:
    (device,) = inventory.free(1)
    operation, _chunk = unanswered(device)
    assert outcome_counts(start_operation("device.unfreeze", device)) == {"already": 1}
    reconcile_now()
    reconcile_now()
    assert outcome_counts(operation) == {"failed": 1}
    assert not inventory.journal("FreezeDevice")


def test_of_two_unapplied_attempts_the_later_one_is_sent(
    unanswered: Callable[..., Any], inventory: Cloud
) -> None:
    (device,) = inventory.free(1)
    first, second = unanswered(device)[0], unanswered(device)[0]
    for _round in range(6):
        reconcile_now()
        run_workers()
    assert outcome_counts(second) == {"ok": 1}
    assert first.targets.get().error_code == "changed_since"
    assert len(inventory.journal("FreezeDevice")) == 1


def test_an_unanswered_chunk_of_a_stopped_process_is_sent_again(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    """Its call may have waited for the rate limit and never reached IoTDA."""
    operation = record_operation("device.freeze", *inventory.free(1))
    stopped = Unreachable("Stopped.", code=SENDER_LOST, maybe_applied=True)
    write_results([ChunkResult(lease_chunk(operation.chunks.get()), error=stopped)])
    reconcile_now()
    reconcile_now()
    run_workers()
    assert outcome_counts(operation) == {"ok": 1}


@pytest.fixture
def frozen_by_others(inventory: Cloud) -> Any:
    """Freeze a device at the console; the inventory already has this status."""
    (device,) = inventory.free(1)
    connection.client().freeze_device(device)
    Device.objects.filter(pk=device).update(status="FROZEN")
    return device


def test_a_state_known_before_a_sender_died_is_already(
    unanswered: Callable[..., Any], frozen_by_others: Any
) -> None:
    operation, _chunk = unanswered(frozen_by_others)
    reconcile_now()
    assert outcome_counts(operation) == {"already": 1}
    assert UndoPlan(operation).preselected == []


def test_a_state_first_read_after_a_sender_died_is_ok(
    unanswered: Callable[..., Any], frozen_by_others: Any
) -> None:
    operation, _chunk = unanswered(frozen_by_others)
    Device.objects.filter(pk=frozen_by_others).update(read_at=timezone.now())
    reconcile_now()
    assert outcome_counts(operation) == {"ok": 1}


def test_a_state_that_differed_at_an_earlier_read_is_ok(
    unanswered: Callable[..., Any], inventory: Cloud
) -> None:
    (device,) = inventory.free(1)
    Device.objects.filter(pk=device).update(status="FROZEN")
    operation, _chunk = unanswered(device)
    reconcile_now()
    connection.client().freeze_device(device)
    reconcile_now()
    assert outcome_counts(operation) == {"ok": 1}
