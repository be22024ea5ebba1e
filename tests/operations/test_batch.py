"""When a batch task is used, and how it is polled."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection as database
from django.utils import timezone

from iotda_admin.access.actor import Actor
from iotda_admin.operations.cli.command import VerbCommand
from iotda_admin.operations.execution import batch_tasks
from iotda_admin.operations.execution.lifecycle import cancel_operation
from iotda_admin.operations.models import Chunk, Operation
from iotda_admin.operations.verbs import get_verb, task_name
from iotda_admin.rate import connection
from tests.batch_task_helpers import (
    created_tasks,
    poll_tasks_now,
    run_until_finished,
    set_task_result,
)
from tests.cloud import Cloud
from tests.operation_helpers import (
    make_everything_due,
    outcome_counts,
    run_workers,
    write_requests,
)


def test_up_to_the_threshold_each_device_has_its_own_call(
    start_operation: Callable[..., Operation], platform: Cloud
) -> None:
    operation = start_operation("device.freeze", *platform.free(3))
    run_workers()
    assert outcome_counts(operation) == {"ok": 3}
    assert not created_tasks(platform)


def test_above_the_threshold_one_task_freezes_all_devices(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    operation = start_operation("device.freeze", *devices)
    run_workers()
    assert outcome_counts(operation) == {"sent": 8}
    assert [entry["operation"] for entry in write_requests(platform)] == [
        "CreateBatchTask"
    ]
    poll_tasks_now()
    assert outcome_counts(operation) == {"ok": 8}
    assert {platform.status(id) for id in devices} == {"FROZEN"}


def test_the_web_request_sends_no_task(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    start_operation("device.freeze", *devices)
    assert not write_requests(platform)


def test_the_command_line_polls_the_task_without_a_worker(
    devices: Sequence[str],
    platform: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        "iotda_admin.operations.execution.result_writer.TASK_POLL_SECONDS", 0
    )
    with pytest.raises(SystemExit, match=r"^0$"):
        call_command(
            VerbCommand(get_verb("device.freeze")),
            *devices,
            "--reason",
            "billing",
            "--ticket",
            "INC-1",
        )
    assert "8" in capsys.readouterr().out
    assert [entry["operation"] for entry in write_requests(platform)] == [
        "CreateBatchTask"
    ]


def test_a_task_has_at_most_the_maximum_of_devices(
    start_operation: Callable[..., Operation],
    devices: Sequence[str],
    platform: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("iotda_admin.operations.services.BATCH_TARGET_LIMIT", 5)
    operation = start_operation("device.freeze", *devices)
    assert run_until_finished(operation) == {"ok": 8}
    assert [len(entry["target_ids"]) for entry in created_tasks(platform)] == [5, 3]


def test_a_bind_uses_no_batch_task(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    start_operation("policy.bind", *devices)
    assert not Chunk.objects.filter(by_task=True).exists()


def test_an_accepted_task_has_the_name_of_its_chunk(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    operation = start_operation("device.freeze", *devices)
    run_workers()
    chunk = operation.chunks.get()
    page = connection.client().list_batch_tasks("freezeDevices")
    assert [(t.task_id, t.task_name) for t in page.items] == [
        (chunk.task_id, task_name(operation, 1))
    ]
    assert (chunk.http_status, bool(chunk.request_id)) == (201, True)


def test_a_task_is_polled_until_it_finishes(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    platform.switch(task_delay_s=1000)
    operation = start_operation("device.freeze", *devices)
    run_workers()
    poll_tasks_now()
    assert (outcome_counts(operation), operation.finished_at) == ({"sent": 8}, None)
    assert operation.chunks.get().due_at > timezone.now()


def test_a_poll_records_the_progress_of_a_task(
    finished: Operation, platform: Cloud
) -> None:
    progress = {"total": 8, "success": 3, "fail": 1, "processing": 4}
    set_task_result(platform, finished, [], status="Processing", task_progress=progress)
    poll_tasks_now()
    assert (outcome_counts(finished), finished.chunks.get().task_done) == (
        {"sent": 8},
        4,
    )


def test_a_device_in_a_running_task_accepts_no_other_change(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    platform.switch(task_delay_s=1000)
    start_operation("device.freeze", *devices)
    run_workers()
    with pytest.raises(Exception, match="has been changing"):
        start_operation("device.unfreeze", devices[0])


def test_a_long_task_is_polled_less_often(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    platform.switch(task_delay_s=1000)
    operation = start_operation("device.freeze", *devices)
    run_workers()
    Chunk.objects.update(sent_at=timezone.now() - timedelta(seconds=300))
    poll_tasks_now()
    assert 25 < (operation.chunks.get().due_at - timezone.now()).total_seconds() < 31


def test_only_one_of_two_pollers_polls_a_task(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    start_operation("device.freeze", *devices)
    run_workers()
    make_everything_due()
    pk = Chunk.objects.get().pk
    assert [batch_tasks.lease_task(pk) is None for _follower in range(2)] == [
        False,
        True,
    ]


@pytest.mark.django_db(transaction=True)
def test_two_workers_poll_a_task_once(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    operation = start_operation("device.freeze", *devices)
    run_workers()
    make_everything_due()

    def follow_once(_worker: Any) -> None:
        batch_tasks.poll_due_tasks()
        database.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(follow_once, range(2)))
    assert outcome_counts(operation) == {"ok": 8}
    assert len(platform.journal("ShowBatchTask")) == 1


def test_a_poller_that_lost_its_lease_writes_no_result(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    operation = start_operation("device.freeze", *devices)
    run_workers()
    make_everything_due()
    slow = batch_tasks.lease_task(operation.chunks.get().pk)
    make_everything_due()
    batch_tasks.lease_task(operation.chunks.get().pk)
    with pytest.raises(batch_tasks.TaskLeaseLost):
        slow.poll(connection.client())
    assert outcome_counts(operation) == {"sent": 8}


def test_a_batch_task_of_a_cancelled_operation_is_polled_to_its_end(
    start_operation: Callable[..., Operation],
    actor: Actor,
    devices: Sequence[str],
    platform: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("iotda_admin.operations.execution.leases.RUNNING_TASK_LIMIT", 1)
    monkeypatch.setattr("iotda_admin.operations.services.BATCH_TARGET_LIMIT", 5)
    operation = start_operation("device.freeze", *devices)
    run_workers()
    cancel_operation(operation, actor)
    assert run_until_finished(operation) == {"ok": 5, "cancelled": 3}
    assert (operation.state, len(created_tasks(platform))) == ("cancelled", 1)


def test_so_does_one_whose_actor_lost_the_permission(
    start_operation: Callable[..., Operation],
    actor: Actor,
    devices: Sequence[str],
    platform: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("iotda_admin.operations.execution.leases.RUNNING_TASK_LIMIT", 1)
    monkeypatch.setattr("iotda_admin.operations.services.BATCH_TARGET_LIMIT", 5)
    operation = start_operation("device.freeze", *devices)
    run_workers()
    actor.user.groups.clear()
    assert run_until_finished(operation) == {"ok": 5, "skipped": 3}


def test_two_thousand_devices_need_one_call_per_fifty(
    start_operation: Callable[..., Operation], cloud: Cloud, db: None
) -> None:
    cloud.reset(60, task_speed=1e6, task_delay_s=0)
    operation = start_operation("device.freeze", *(f"nobody-{n}" for n in range(2000)))
    before = len(cloud.journal())
    assert run_until_finished(operation) == {"failed": 2000}
    calls = [
        e["operation"]
        for e in cloud.journal()[before:]
        if e["operation"] != "freezeDevices"
    ]
    # The creation, one look that finds it finished, and a page for each fifty.
    assert len(calls) <= 1 + 1 + 2000 / 50
    assert set(calls) == {"CreateBatchTask", "ShowBatchTask"}
