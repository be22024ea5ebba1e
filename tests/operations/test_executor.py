"""Chunks are leased once, fenced, stopped, split, and counted at every step."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from iotda_admin.access.actor import Actor
from iotda_admin.audit.models import Event
from iotda_admin.iotda import Rejected, Throttled
from iotda_admin.operations.execution import executor, lifecycle, reconciliation
from iotda_admin.operations.execution.leases import (
    heartbeat,
    lease_chunk,
)
from iotda_admin.operations.execution.result_writer import (
    MAX_ATTEMPTS,
    ChunkResult,
    write_results,
)
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.verbs import TargetOutcome, VerbAnswer, get_verb
from iotda_admin.rate.connection import client
from tests.cloud import Cloud
from tests.operation_helpers import (
    make_everything_due,
    make_iotda_unreachable,
    outcome_counts,
    run_workers,
    write_requests,
)

State = Target.State


@pytest.fixture
def many(inventory: Cloud) -> list[Any]:
    """Targets for three chunks: forty-five ids, of which the platform knows the first ten."""
    return [*inventory.free(10), *(f"nobody-{n}" for n in range(35))]


def test_more_than_one_chunk_waits_for_the_worker(
    start_operation: Callable[..., Operation], many: list[Any], inventory: Cloud
) -> None:
    operation = start_operation("policy.bind", *many)
    assert [chunk.targets.count() for chunk in operation.chunks.all()] == [20, 20, 5]
    assert outcome_counts(operation) == {"pending": 45}
    assert not write_requests(inventory)


def test_the_worker_sends_each_chunk_once(
    start_operation: Callable[..., Operation], many: list[Any], inventory: Cloud
) -> None:
    operation = start_operation("policy.bind", *many)
    run_workers()
    assert outcome_counts(operation) == {"ok": 10, "failed": 35}
    assert sorted(
        id for entry in write_requests(inventory) for id in entry["target_ids"]
    ) == sorted(many)


def test_the_counts_add_up_at_every_step(
    record_operation: Callable[..., Operation], many: list[Any], inventory: Cloud
) -> None:
    operation = record_operation("policy.bind", *many)
    inventory.fault("BindDevicePolicy", "drop", match={"nth": 2})
    steps = [outcome_counts(operation)]
    for chunk in operation.chunks.all():
        write_results([ChunkResult(lease_chunk(chunk))])
        steps.append(outcome_counts(operation))
        executor.execute_chunk(chunk, client())
        steps.append(outcome_counts(operation))
    assert [sum(step.values()) for step in steps] == [45] * 7
    assert steps[-1] == {"ok": 10, "failed": 15, "unknown": 20}


def test_a_worker_that_paused_after_a_read_writes_nothing(
    record_operation: Callable[..., Operation], inventory: Cloud, settings: Settings
) -> None:
    operation = record_operation("device.freeze", inventory.free(1)[0])
    sending = lease_chunk(operation.chunks.get())
    inventory.fault("ShowDevice", "latency", seconds=0.5)
    # The lease is long enough for the look, and too short for the change after it.
    sending.valid_until = time.monotonic() + settings.IOTDA_DEADLINE + 0.4
    write_results([executor.send_request(sending, client())])
    assert not write_requests(inventory)
    assert outcome_counts(operation) == {"pending": 1}


@pytest.mark.django_db(transaction=True)
def test_only_a_commit_extends_a_lease(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    sending = lease_chunk(
        record_operation("device.freeze", inventory.free(1)[0]).chunks.get()
    )
    sending.valid_until = 7.0
    with suppress(OperationalError), transaction.atomic():
        heartbeat([sending])
        raise OperationalError
    assert sending.valid_until == 7.0
    heartbeat([sending])
    assert sending.valid_until > 7.0


def test_a_late_rejection_pauses_nothing(
    record_operation: Callable[..., Operation], many: list[Any], inventory: Cloud
) -> None:
    operation = record_operation("policy.bind", *many)
    pool = executor.WorkerPool(client(), 2)
    pool.stopped.add(operation.pk)
    left = iter(range(50))
    for _slice in range(2):
        pool.run(lambda: next(left, None) is None)
    pool.shut_down()
    assert outcome_counts(operation) == {"ok": 10, "failed": 35}
    assert Event.objects.filter(kind="chunk.sent").count() == 3


def test_a_late_answer_of_an_earlier_holder_is_ignored(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", inventory.free(1)[0])
    sending = lease_chunk(operation.chunks.get())
    Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    reconciliation.expire_leases()
    write_results(
        [
            ChunkResult(
                sending,
                VerbAnswer(
                    {operation.targets.get().target_id: TargetOutcome(State.OK)},
                    204,
                    "r",
                ),
            )
        ]
    )
    assert outcome_counts(operation) == {"unknown": 1}
    assert operation.chunks.get().request_id == ""


def test_a_late_error_of_an_earlier_holder_is_ignored(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", inventory.free(1)[0])
    sending = lease_chunk(operation.chunks.get())
    Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    reconciliation.expire_leases()
    for error in (
        Throttled("slow", status=429),
        Rejected("no", status=403),
        Rejected("no", status=404),
    ):
        write_results([ChunkResult(sending, error=error)])
    assert outcome_counts(operation) == {"unknown": 1}
    assert operation.chunks.get().state == "unknown"


def test_a_late_result_is_ignored_while_the_next_holder_sends(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(1))
    first = lease_chunk(operation.chunks.get())
    write_results([ChunkResult(first)])
    second = lease_chunk(operation.chunks.get())
    write_results([ChunkResult(first, error=Rejected("no", status=404))])
    assert outcome_counts(operation) == {"sent": 1}
    write_results([executor.send_request(second, client())])
    assert outcome_counts(operation) == {"ok": 1}


def test_a_leased_chunk_is_not_leased_again(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", inventory.free(1)[0])
    assert lease_chunk(operation.chunks.get()).chunk.attempts == 1
    assert lease_chunk(operation.chunks.get()) is None


def test_a_chunk_is_not_claimed_before_it_is_due(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", inventory.free(1)[0])
    Chunk.objects.update(due_at="2100-01-01T00:00Z")
    assert lease_chunk(operation.chunks.get()) is None


def test_throttling_pauses_the_whole_operation_until_its_wait_is_over(
    start_operation: Callable[..., Operation], many: list[Any], inventory: Cloud
) -> None:
    inventory.fault("BindDevicePolicy", "throttle", match={"nth": 2}, retry_after=30)
    operation = start_operation("policy.bind", *many)
    run_workers()
    # Two were under way together; either may have been the one.
    waiting = outcome_counts(operation)["pending"]
    assert waiting in (5, 20)
    operation.chunks.update(due_at=timezone.now())
    run_workers()
    assert outcome_counts(operation)["pending"] == waiting
    make_everything_due()
    run_workers()
    assert outcome_counts(operation) == {"ok": 10, "failed": 35}


def test_throttling_also_stops_what_is_leased_in_advance(
    start_operation: Callable[..., Operation], inventory: Cloud, settings: Settings
) -> None:
    settings.IOTDA_IN_FLIGHT, settings.PAUSE_AFTER_REFUSALS = 2, 0
    inventory.fault(
        "BindDevicePolicy", "throttle", match={"ids": ["nobody-01200"]}, retry_after=30
    )
    operation = start_operation("policy.bind", *(f"nobody-{n:05}" for n in range(2400)))
    run_workers()
    answered = operation.chunks.exclude(http_status=None).count()
    # The throttled call is the 61st; the rest is neither sent nor an attempt.
    assert 60 < answered < 70
    waiting = operation.chunks.filter(state="pending", http_status=None)
    assert waiting.count() == 120 - answered
    assert not waiting.exclude(attempts=0).exists()
    assert len(write_requests(inventory)) == answered


@pytest.mark.parametrize(
    "error",
    [
        Throttled("Slower.", status=429, retryable=True),
        Rejected("Invalid.", status=400),
    ],
)
def test_a_stop_includes_chunks_that_another_worker_requeues_or_splits(
    record_operation: Callable[..., Operation],
    many: list[Any],
    inventory: Cloud,
    error: Any,
) -> None:
    operation = record_operation("policy.bind", *many)
    first, second, _third = operation.chunks.all()
    held = lease_chunk(second)
    inventory.fault(
        "BindDevicePolicy",
        "status",
        status=403,
        error_code="IOTDA.000022",
        error_msg="No.",
    )
    executor.execute_chunk(first, client())
    write_results([ChunkResult(held, error=error)])
    assert outcome_counts(operation) == {"failed": 20, "skipped": 25}
    assert operation.finished_at


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "APIGW.0301"), (403, "IOTDA.000022"), (403, "APIGW.0302")],
)
def test_missing_rights_stop_a_freeze_after_one_call(
    start_operation: Callable[..., Operation], inventory: Cloud, status: int, code: str
) -> None:
    inventory.fault(
        "FreezeDevice", "status", status=status, error_code=code, error_msg="No."
    )
    operation = start_operation("device.freeze", *inventory.free(5))
    run_workers()
    assert outcome_counts(operation) == {"failed": 1, "skipped": 4}
    assert operation.state == "stopped"
    assert len(write_requests(inventory)) == 1


@pytest.mark.parametrize("code", ["IOTDA.019999", "IOTDA.001000", "APIGW.0999", ""])
def test_a_403_with_another_code_refuses_one_device(
    start_operation: Callable[..., Operation], inventory: Cloud, code: str
) -> None:
    ids = inventory.free(4)
    inventory.fault(
        "FreezeDevice", "status", match={"ids": ids[:1]}, status=403, error_code=code
    )
    operation = start_operation("device.freeze", *ids)
    run_workers()
    assert outcome_counts(operation) == {"failed": 1, "ok": 3}
    assert operation.state == "done"


def test_a_dedicated_gateways_code_of_a_missing_permission_stops_as_well(
    start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    inventory.fault("FreezeDevice", "status", status=403, error_code="APIG.0302")
    operation = start_operation("device.freeze", *inventory.free(3))
    run_workers()
    assert outcome_counts(operation) == {"failed": 1, "skipped": 2}


def test_a_rejection_of_one_device_does_not_stop_the_operation(
    start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    ids = inventory.free(4)
    inventory.fault(
        "FreezeDevice",
        "status",
        match={"ids": ids[:1]},
        status=403,
        error_code="IOTDA.014038",
    )
    operation = start_operation("device.freeze", *ids)
    run_workers()
    assert outcome_counts(operation) == {"failed": 1, "ok": 3}


def test_the_worker_tries_an_unsent_call_three_times(
    start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    inventory.fault("ShowDevice", "drop")
    operation = start_operation("device.freeze", *inventory.free(2))
    while outcome_counts(operation).get("pending"):
        make_everything_due()
        run_workers()
    assert outcome_counts(operation) == {"failed": 2}
    assert set(operation.chunks.values_list("attempts", flat=True)) == {3}
    assert not write_requests(inventory)


@pytest.mark.django_db(transaction=True)
def test_four_workers_send_each_chunk_once(many_freezes: Any, inventory: Cloud) -> None:
    def worker(_n: Any) -> None:
        executor.execute_due_chunks(client())
        database.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(worker, range(4)))
    assert outcome_counts(many_freezes) == {"ok": 10}
    assert len(write_requests(inventory)) == 10


@pytest.fixture
def many_freezes(
    transactional_db: None, inventory: Cloud, record_operation: Callable[..., Operation]
) -> Any:
    return record_operation("device.freeze", *inventory.free(10))


def test_in_an_outage_the_worker_pauses_after_one_call(
    start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    inventory.fault("ShowDevice", "drop")
    start_operation("device.freeze", *inventory.free(10))
    for _moment in range(3):
        Chunk.objects.update(due_at=timezone.now())
        run_workers()
    calls = len(inventory.journal("ShowDevice"))
    Chunk.objects.update(due_at=timezone.now())
    run_workers()
    assert len(inventory.journal("ShowDevice")) == calls == 3


def test_nothing_more_is_sent_once_the_actor_lost_the_permission(
    record_operation: Callable[..., Operation], actor: Actor, inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(5))
    executor.execute_chunk(operation.chunks.first(), client())
    actor.user.groups.clear()
    run_workers()
    assert outcome_counts(operation) == {"ok": 1, "skipped": 4}
    assert operation.stop_code == "not_allowed"


def test_a_deleted_account_sends_nothing_more(
    record_operation: Callable[..., Operation], actor: Actor, inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(5))
    actor.user.delete()
    run_workers()
    assert outcome_counts(operation) == {"skipped": 5}
    assert not write_requests(inventory)


def test_a_stopped_executor_requeues_what_it_has_not_begun(
    record_operation: Callable[..., Operation], inventory: Cloud, settings: Settings
) -> None:
    settings.IOTDA_IN_FLIGHT = 2
    operation = record_operation("device.freeze", *inventory.free(10))
    inventory.switch(latency_ms=20)
    executor.execute_due_chunks(
        client(), should_stop=iter([False, False, True]).__next__
    )
    counts = outcome_counts(operation)
    assert counts.keys() == {"ok", "pending"}
    assert len(write_requests(inventory)) == counts["ok"]
    assert set(
        operation.chunks.filter(state="pending").values_list("attempts", flat=True)
    ) == {0}


def test_what_was_leased_for_a_former_rate_is_returned(
    record_operation: Callable[..., Operation],
    inventory: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other operations do not wait for it after IoTDA has become slower."""
    monkeypatch.setattr(executor, "SLOW_SECONDS", 0)
    devices = inventory.free(10)
    operation = record_operation("device.freeze", *devices)
    executor.execute_chunk(operation.chunks.first(), client())
    inventory.switch(latency_ms=1000)
    pool = executor.WorkerPool(client(), 1)
    pool.enqueue(pool.write_and_lease([], 9))
    pool.ahead = operation.chunks.filter(state="sent").count()
    assert pool.ahead == 9
    pool.run(iter([False, True]).__next__)
    assert operation.chunks.filter(state="pending").count() >= 5
    inventory.switch(latency_ms=0)
    pool.shut_down()
    run_workers()
    assert outcome_counts(operation) == {"ok": 10}
    sent = [id for entry in write_requests(inventory) for id in entry["target_ids"]]
    assert sorted(sent) == sorted(devices)


def test_unstarted_chunks_of_a_cancelled_operation_are_cancelled(
    record_operation: Callable[..., Operation], actor: Actor, inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    pool = executor.WorkerPool(client(), 1)
    leased = lease_chunk(operation.chunks.first())
    pool.in_flight[leased.chunk.pk] = leased
    pool.to_send.put(leased)
    assert lifecycle.cancel_operation(operation, actor)
    pool.shut_down()
    assert outcome_counts(operation) == {"cancelled": 2}
    assert operation.finished_at


def test_an_executor_waits_for_its_calls_before_it_returns(
    record_operation: Callable[..., Operation],
    inventory: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise a change could be applied after it was read back as not applied."""
    monkeypatch.setattr(executor, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(executor, "SHUTDOWN_SECONDS", 0)
    operation = record_operation("device.freeze", *inventory.free(1))
    inventory.fault("ShowDevice", "latency", seconds=0.5)
    executor.execute_due_chunks(client(), should_stop=iter([False, True]).__next__)
    assert outcome_counts(operation) == {"ok": 1}


def test_a_chunk_that_another_process_took_over_is_not_sent(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(1))
    sending = lease_chunk(operation.chunks.get())
    Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    reconciliation.expire_leases()
    heartbeat([sending])
    write_results([executor.send_request(sending, client())])
    assert outcome_counts(operation) == {"unknown": 1}
    assert not write_requests(inventory)


def test_the_longest_wait_of_several_throttled_calls_counts(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    long, short = (lease_chunk(chunk) for chunk in operation.chunks.all())
    write_results(
        [
            ChunkResult(
                long,
                error=Throttled("Slower.", status=429, retryable=True, retry_after=60),
            ),
            ChunkResult(
                short,
                error=Throttled("Slower.", status=429, retryable=True, retry_after=1),
            ),
        ]
    )
    operation.refresh_from_db()
    assert operation.waits_until > timezone.now() + timedelta(seconds=50)


def test_several_chunks_are_in_flight_at_the_same_time(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(10))
    inventory.fault("ShowDevice", "latency", seconds=0.5)
    run_workers()
    assert outcome_counts(operation) == {"ok": 10}
    _alone, second, *_others, ninth, _tenth = sorted(
        e["time"] for e in inventory.journal("ShowDevice")
    )
    assert ninth - second < 0.5


def test_many_chunks_are_leased_and_recorded_together(
    record_operation: Callable[..., Operation], inventory: Cloud, settings: Settings
) -> None:
    settings.PAUSE_AFTER_REFUSALS = 0
    record_operation("policy.bind", *(f"nobody-{n}" for n in range(4000)))
    inventory.switch(latency_ms=20)
    with CaptureQueriesContext(database) as queries:
        run_workers()
    assert len(write_requests(inventory)) == 200
    assert len(queries) < 600


def test_an_exception_of_the_product_leaves_the_target_unknown(
    start_operation: Callable[..., Operation],
    inventory: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A verb that fails after its call, without a mock in between."""
    freeze = get_verb("device.freeze")
    monkeypatch.setattr(freeze, "send", lambda client, request: 1 / 0, raising=False)
    operation = start_operation("device.freeze", *inventory.free(1))
    assert outcome_counts(operation) == {"unknown": 1}


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "IOTDA.000022"), (502, "APIGW.0101"), (403, "IOTDA.021101")],
)
def test_an_error_that_stops_nothing_does_not_make_the_worker_spin(
    record_operation: Callable[..., Operation], inventory: Cloud, status: int, code: str
) -> None:
    inventory.fault(
        "BindDevicePolicy", "status", match={"nth": 2}, status=status, error_code=code
    )
    operation = record_operation("policy.bind", *(f"nobody-{n}" for n in range(200)))
    # Another one that keeps the senders busy meanwhile.
    inventory.fault("ShowDevice", "latency", seconds=0.3)
    record_operation("device.freeze", *inventory.free(10))
    with CaptureQueriesContext(database) as queries:
        run_workers()
    assert outcome_counts(operation)["failed"] > 100
    assert len(queries) < 500


def test_a_throttled_call_does_not_count_as_an_attempt(
    record_operation: Callable[..., Operation], inventory: Cloud, settings: Settings
) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    inventory.fault("FreezeDevice", "throttle")
    for _ in range(MAX_ATTEMPTS):
        run_workers()
        make_everything_due()
    make_iotda_unreachable(settings)
    run_workers()
    assert outcome_counts(operation) == {"pending": 2}
