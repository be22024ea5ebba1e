"""What stands still is moved on."""

from datetime import timedelta

import pytest
from django.utils import timezone

from iotda_admin import connection
from iotda_admin.operations import recovery, runner
from iotda_admin.operations.models import Chunk, Operation
from tests.asking import outcome, work


@pytest.fixture
def calls(db):
    """How often the workers were called so far."""
    from django_tasks_db.models import DBTaskResult

    return DBTaskResult.objects.count


def test_a_forgotten_operation_is_called_for_again(begin, calls, inventory):
    operation = begin("device.freeze", *inventory.free(2))
    recovery.sweep()
    assert calls() == 1
    work()
    assert outcome(operation) == {"ok": 2}


def test_it_is_not_called_for_all_the_time(begin, calls, inventory):
    operation = begin("device.freeze", *inventory.free(2))
    for _ in range(3):
        recovery.sweep()
    assert calls() == 1
    Operation.objects.filter(pk=operation.pk).update(nudged_at=timezone.now() - timedelta(seconds=11))
    recovery.sweep()
    assert calls() == 2


def test_what_is_not_due_is_left_alone(begin, calls, inventory):
    begin("device.freeze", *inventory.free(2))
    Chunk.objects.update(due_at=timezone.now() + timedelta(minutes=5))
    recovery.sweep()
    assert calls() == 0


def test_what_has_ended_is_left_alone(do, calls, inventory):
    do("device.freeze", *inventory.free(1))
    recovery.sweep()
    assert calls() == 0


def test_a_lease_that_runs_is_respected(begin, inventory):
    operation = begin("device.freeze", *inventory.free(1))
    runner.claim(operation.chunks.get().pk)
    recovery.sweep()
    assert outcome(operation) == {"sent": 1}


def test_a_lease_that_ran_out_is_taken_with_a_new_token(begin, inventory):
    operation = begin("device.freeze", *inventory.free(1))
    token = runner.claim(operation.chunks.get().pk).token
    Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    recovery.give_up_leases()
    assert outcome(operation) == {"unknown": 1}
    assert operation.chunks.get().token == token + 1


def test_the_lease_is_longer_than_all_calls_together(begin, settings, inventory):
    settings.IOTDA_DEADLINE = 7
    operation = begin("device.freeze", *inventory.free(1))
    chunk = runner.claim(operation.chunks.get().pk)
    assert chunk.lease_until - chunk.sent_at > timedelta(seconds=3 * 7)


def test_only_one_reads_back_at_a_time(begin, inventory):
    operation = begin("device.freeze", *inventory.free(1))
    runner.claim(operation.chunks.get().pk)
    Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    recovery.give_up_leases()
    chunk = operation.chunks.get()
    assert [recovery.take(chunk), recovery.take(chunk)] == [True, False]


def test_an_operation_that_stopped_is_not_sent_on(do, inventory):
    inventory.fault("FreezeDevice", "status", match={"times": 1}, status=403, error_code="IOTDA.000022")
    operation = do("device.freeze", *inventory.free(3))
    work()
    recovery.sweep()
    work()
    assert outcome(operation) == {"failed": 1, "skipped": 2}
    assert connection.client().show_device(operation.targets.last().target_id).status != "FROZEN"


@pytest.fixture
def unanswered(begin, inventory):
    """An operation on one device whose sender died, and its chunk."""

    def make(device):
        operation = begin("device.freeze", device)
        runner.claim(operation.chunks.get().pk)
        Chunk.objects.filter(operation=operation).update(lease_until=timezone.now() - timedelta(seconds=1))
        recovery.give_up_leases()
        return operation, operation.chunks.get()

    return make


def test_the_first_reading_counts_and_a_late_one_is_void(unanswered, inventory):
    (device,) = inventory.free(1)
    operation, slow = unanswered(device)
    Chunk.objects.update(misses=1)
    assert recovery.take(slow)
    Chunk.objects.update(due_at=timezone.now())
    quick = operation.chunks.get()
    assert recovery.take(quick)
    recovery.record_reading(quick, {device: True})
    recovery.record_reading(slow, {device: False})
    assert outcome(operation) == {"ok": 1}


def test_nothing_is_told_while_a_later_try_is_open(unanswered, inventory):
    (device,) = inventory.free(1)
    first, chunk = unanswered(device)
    unanswered(device)
    recovery.read_back(chunk.pk, connection.client())
    assert outcome(first) == {"unknown": 1}
    assert first.chunks.get().state == "unknown"


def test_two_tries_that_were_both_not_applied_are_both_said_to_have_failed(unanswered, inventory):
    (device,) = inventory.free(1)
    operations = [unanswered(device)[0], unanswered(device)[0]]
    for _look in range(6):
        Chunk.objects.exclude(state="done").update(due_at=timezone.now())
        recovery.sweep()
    assert [outcome(operation) for operation in operations] == [{"failed": 1}, {"failed": 1}]


def test_a_reader_that_was_replaced_settles_nothing(unanswered, inventory):
    (device,) = inventory.free(1)
    operation, slow = unanswered(device)
    Chunk.objects.update(misses=1)
    slow.misses = 1
    assert recovery.take(slow)
    Chunk.objects.update(due_at=timezone.now())
    quick = operation.chunks.get()
    assert recovery.take(quick)
    recovery.record_reading(slow, {device: False})
    assert outcome(operation) == {"unknown": 1}
    recovery.record_reading(quick, {device: True})
    assert outcome(operation) == {"ok": 1}
