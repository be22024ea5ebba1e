"""Rejected batch tasks, and tasks whose creation was not answered."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from devices.models import Device
from iotda_admin.access.actor import Actor
from iotda_admin.iotda import RUNNING_TASK_LIMIT, TASK_TYPES, TaskType
from iotda_admin.operations.cli.report import as_lines
from iotda_admin.operations.error_codes import TASKS_FULL
from iotda_admin.operations.execution import reconciliation
from iotda_admin.operations.execution.batch_tasks import poll_due_tasks
from iotda_admin.operations.execution.leases import lease_chunk
from iotda_admin.operations.execution.result_writer import (
    TASKS_FULL_REFUSALS,
    ChunkResult,
    write_results,
)
from iotda_admin.operations.models import Chunk, Operation
from iotda_admin.operations.verbs import task_name
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
    target_error_codes,
    write_requests,
)


def test_tasks_beyond_ten_wait_for_a_free_slot(
    record_operation: Callable[..., Operation],
    devices: Sequence[str],
    platform: Cloud,
    settings: Settings,
) -> None:
    settings.BATCH_TASK_ABOVE = 0
    platform.switch(task_delay_s=1000)
    for n in range(12):
        record_operation("device.freeze", f"nobody-{n}")
    run_workers()
    assert len(created_tasks(platform)) == 10
    assert Chunk.objects.filter(state="pending").count() == 2


def occupy_task_slots(platform: Cloud, count: int = RUNNING_TASK_LIMIT) -> None:
    platform.switch(task_delay_s=1000)
    for n in range(count):
        task_type: TaskType = "unfreezeDevices" if n % 2 else "freezeDevices"
        connection.client().create_batch_task(f"another_{n}", task_type, ["x"])


@pytest.mark.parametrize("code", ["IOTDA.014203", "IOTDA.019999", ""])
def test_a_task_waits_while_iotda_has_no_free_slot_whatever_the_code(
    start_operation: Callable[..., Operation],
    auditor: Client,
    platform: Cloud,
    settings: Settings,
    code: str,
) -> None:
    settings.BATCH_TASK_ABOVE = 500
    occupy_task_slots(platform)
    platform.switch(task_quota_code=code)
    operation = start_operation("device.freeze", *(f"nobody-{n}" for n in range(600)))
    for _try in range(5):
        run_workers()
        make_everything_due()
    assert (outcome_counts(operation), operation.state) == ({"pending": 600}, "running")
    # None of these counts as a try, and no device is changed by a call of its own.
    assert operation.chunks.get().attempts == 0
    assert len(created_tasks(platform)) == RUNNING_TASK_LIMIT + 5
    run_workers()
    text = auditor.get(operation.get_absolute_url()).text
    assert "IoTDA runs as many batch tasks as it allows. Continues at" in text
    assert "It fails if no place becomes free within 3 hours." in text
    assert f"IoTDA says: {code}" in text
    platform.switch(running_tasks=20, task_delay_s=0)
    assert run_until_finished(operation) == {"failed": 600}
    assert set(target_error_codes(operation).values()) == {"IOTDA.014000"}


@pytest.mark.parametrize(("status", "code"), [(403, "IOTDA.019999"), (400, "")])
def test_a_task_refused_with_an_unknown_code_fails_with_iotdas_words(
    start_operation: Callable[..., Operation],
    devices: Sequence[str],
    auditor: Client,
    platform: Cloud,
    status: int,
    code: str,
) -> None:
    occupy_task_slots(platform, 3)
    platform.fault(
        "CreateBatchTask",
        "status",
        status=status,
        error_code=code,
        error_msg="The instance is being moved.",
    )
    operation = start_operation("device.freeze", *devices)
    assert run_until_finished(operation) == {"failed": 8}
    assert operation.state == "done"
    assert len(write_requests(platform)) == 4
    text = auditor.get(operation.get_absolute_url()).text
    assert "The instance is being moved." in text


def test_a_task_is_created_if_a_slot_became_free_since_the_refusal(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    occupy_task_slots(platform, RUNNING_TASK_LIMIT - 1)
    platform.fault(
        "CreateBatchTask",
        "status",
        match={"times": 1},
        status=403,
        error_code="IOTDA.019999",
    )
    operation = start_operation("device.freeze", *devices)
    run_workers()
    assert outcome_counts(operation) == {"sent": 8}


def test_the_tasks_are_counted_again_after_the_second_refusal(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    occupy_task_slots(platform)
    platform.switch(task_quota_code="IOTDA.019999")
    others = [
        {"task_id": f"t{n}", "task_name": f"t{n}", "status": "Processing"}
        for n in range(RUNNING_TASK_LIMIT - 1)
    ]
    page = {"batchtasks": others, "page": {"count": len(others), "marker": ""}}
    first = {"times": 1}
    platform.fault("ListBatchTasks", "status", match=first, status=200, body=page)
    none = {"batchtasks": [], "page": {"count": 0, "marker": ""}}
    rest = {"times": len(TASK_TYPES) - 1}
    platform.fault("ListBatchTasks", "status", match=rest, status=200, body=none)
    operation = start_operation("device.freeze", *devices)
    run_workers()
    assert outcome_counts(operation) == {"pending": 8}
    assert operation.chunks.get().error_code == TASKS_FULL


def test_a_task_fails_with_iotdas_words_after_three_hours_without_a_free_slot(
    start_operation: Callable[..., Operation],
    devices: Sequence[str],
    auditor: Client,
    platform: Cloud,
) -> None:
    occupy_task_slots(platform)
    platform.switch(task_quota_code="IOTDA.019999")
    operation = start_operation("device.freeze", *devices)
    run_workers()
    assert operation.chunks.get().misses == 1
    make_everything_due()
    Chunk.objects.update(misses=TASKS_FULL_REFUSALS - 1)
    run_workers()
    assert outcome_counts(operation) == {"pending": 8}
    make_everything_due()
    run_workers()
    assert outcome_counts(operation) == {"failed": 8}
    text = auditor.get(operation.get_absolute_url()).text
    assert "IoTDA refused the batch task for 3 hours" in text
    assert "IOTDA.019999" in text


def test_a_task_that_had_to_wait_is_read_back_twice_after_a_lost_answer(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    occupy_task_slots(platform)
    operation = start_operation("device.freeze", *devices)
    for _try in range(3):
        run_workers()
        make_everything_due()
    assert operation.chunks.get().misses == 3
    platform.switch(running_tasks=20)
    platform.fault("CreateBatchTask", "drop", moment="before")
    run_workers()
    assert operation.chunks.values_list("state", "misses").get() == ("unknown", 0)


@pytest.mark.parametrize("fault", ["drop", "throttle", "html"])
def test_a_refused_task_waits_while_the_lists_of_tasks_cannot_be_read(
    start_operation: Callable[..., Operation],
    devices: Sequence[str],
    platform: Cloud,
    fault: str,
) -> None:
    platform.fault("CreateBatchTask", "status", status=403, error_code="IOTDA.019999")
    platform.fault("ListBatchTasks", fault)
    operation = start_operation("device.freeze", *devices)
    run_workers()
    assert outcome_counts(operation) == {"pending": 8}
    platform.heal()
    make_everything_due()
    assert run_until_finished(operation) == {"ok": 8}


def test_one_bad_id_does_not_fail_the_other_devices(
    start_operation: Callable[..., Operation],
    auditor: Client,
    devices: Sequence[str],
    platform: Cloud,
) -> None:
    platform.fault(
        "CreateBatchTask",
        "status",
        match={"times": 1},
        status=400,
        error_code="IOTDA.000006",
    )
    operation = start_operation("device.freeze", *devices, "nobody")
    assert run_until_finished(operation) == {"failed": 1, "ok": 8}
    said = "IoTDA refused the batch task. Each device"
    assert said in auditor.get(operation.get_absolute_url()).text
    assert said in "\n".join(as_lines(operation, "frozen"))


def test_single_calls_after_a_rejected_task_use_the_mirrored_status(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    Device.objects.filter(pk=devices[0]).update(status="FROZEN")
    platform.fault(
        "CreateBatchTask",
        "status",
        match={"times": 1},
        status=400,
        error_code="IOTDA.000006",
    )
    assert run_until_finished(start_operation("device.freeze", *devices)) == {"ok": 8}


def test_a_rejection_for_missing_rights_stops_the_operation(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    platform.fault("CreateBatchTask", "status", status=403, error_code="IOTDA.000022")
    operation = start_operation("device.freeze", *devices)
    assert run_until_finished(operation) == {"failed": 8}
    assert (operation.state, len(created_tasks(platform))) == ("stopped", 1)


@pytest.mark.parametrize("fault", ["drop", "hang", "html", "bad_json", "error_200"])
def test_a_task_whose_creation_was_not_answered_is_found_by_its_name(
    start_operation: Callable[..., Operation],
    devices: Sequence[str],
    platform: Cloud,
    settings: Settings,
    fault: str,
) -> None:
    def wait_for(seconds: Any) -> None:
        settings.IOTDA_DEADLINE = seconds
        connection.client.cache_clear()

    if fault == "hang":
        wait_for(1)
    platform.fault("CreateBatchTask", fault, moment="after", match={"times": 1})
    operation = start_operation("device.freeze", *devices)
    run_workers()
    assert outcome_counts(operation) == {"unknown": 8}
    wait_for(10)
    poll_tasks_now()
    assert outcome_counts(operation) == {"ok": 8}
    assert len(created_tasks(platform)) == 1


def test_a_task_that_was_never_created_is_not_created_blindly(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    platform.fault("CreateBatchTask", "drop", match={"times": 1})
    operation = start_operation("device.freeze", *devices)
    run_workers()
    poll_tasks_now()
    assert outcome_counts(operation) == {"unknown": 8}
    assert run_until_finished(operation) == {"failed": 8}
    assert set(target_error_codes(operation).values()) == {"not_applied"}
    assert len(created_tasks(platform)) == 1


def test_a_task_of_another_database_with_the_same_name_is_ignored(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    operation = start_operation("device.freeze", *devices)
    operation.created_at -= timedelta(days=1)
    connection.client().create_batch_task(
        task_name(operation, 1), "freezeDevices", devices
    )
    platform.fault("CreateBatchTask", "drop", match={"times": 1})
    assert run_until_finished(operation) == {"failed": 8}


@pytest.fixture
def killed(
    record_operation: Callable[..., Operation], devices: Sequence[str]
) -> Callable[..., Any]:
    """An operation whose sender was killed, before or after the platform has made the task."""

    def killed(*, after: Any) -> Any:
        operation = record_operation("device.freeze", *devices)
        sending = lease_chunk(operation.chunks.get())
        if after:
            sending.verb.send(connection.client(), sending.request)
        Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        reconciliation.expire_leases()
        return operation

    return killed


@pytest.mark.parametrize("after", [True, False])
def test_the_task_of_a_killed_sender_is_created_once(
    killed: Callable[..., Any], devices: Sequence[str], platform: Cloud, after: bool
) -> None:
    operation = killed(after=after)
    assert outcome_counts(operation) == {"unknown": 8}
    assert run_until_finished(operation) == {"ok": 8}
    assert len(created_tasks(platform)) == 1
    assert [sorted(e["applied"]) for e in platform.journal("freezeDevices")] == [
        sorted(devices)
    ]


def test_a_late_result_of_a_replaced_sender_is_ignored(
    record_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    operation = record_operation("device.freeze", *devices)
    sending = lease_chunk(operation.chunks.get())
    answer = sending.verb.send(connection.client(), sending.request)
    Chunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    reconciliation.expire_leases()
    write_results([ChunkResult(sending, answer)])
    assert outcome_counts(operation) == {"unknown": 8}
    assert run_until_finished(operation) == {"ok": 8}


def test_a_task_found_again_does_not_touch_chunks_that_others_have_started(
    killed: Callable[..., Any],
    record_operation: Callable[..., Operation],
    devices: Sequence[str],
    platform: Cloud,
) -> None:
    operation = killed(after=True)
    later = record_operation("device.unfreeze", devices[0])
    poll_tasks_now()
    assert outcome_counts(operation) == {"ok": 8}
    assert run_until_finished(later) == {"ok": 1}
    assert platform.status(devices[0]) != "FROZEN"


def test_a_user_can_have_a_lost_task_searched_for_at_once(
    record_operation: Callable[..., Operation],
    actor: Actor,
    client: Client,
    devices: Sequence[str],
    platform: Cloud,
) -> None:
    platform.fault("CreateBatchTask", "drop", moment="after", match={"times": 1})
    operation = record_operation("device.freeze", *devices)
    run_workers()
    make_everything_due()
    client.force_login(actor.user)
    client.post(f"/operations/{operation.pk}/check/")
    assert operation.chunks.get().state == "followed"


def test_a_search_for_a_lost_task_that_runs_out_of_time_delays_no_worker(
    record_operation: Callable[..., Operation],
    actor: Actor,
    client: Client,
    devices: Sequence[str],
    platform: Cloud,
    settings: Settings,
) -> None:
    platform.fault("CreateBatchTask", "drop", moment="after", match={"times": 1})
    operation = record_operation("device.freeze", *devices)
    run_workers()
    make_everything_due()
    client.force_login(actor.user)
    connection.client()  # each call has longer than the page
    settings.IOTDA_DEADLINE = 0.2
    platform.fault("ListBatchTasks", "hang", seconds=5)
    assert client.post(f"/operations/{operation.pk}/check/").status_code == 503
    platform.heal()
    poll_due_tasks()
    assert outcome_counts(operation) == {"ok": 8}


def test_devices_that_a_found_task_may_still_change_are_not_sent_again(
    killed: Callable[..., Any],
    record_operation: Callable[..., Operation],
    actor: Actor,
    client: Client,
    devices: Sequence[str],
    platform: Cloud,
) -> None:
    client.force_login(actor.user)
    platform.switch(task_delay_s=1000)
    first, later = killed(after=True), record_operation("device.freeze", devices[0])
    lease_chunk(later.chunks.get())
    later.chunks.update(lease_until=timezone.now() - timedelta(seconds=1))
    reconciliation.expire_leases()
    poll_tasks_now()
    for _look in range(3):
        make_everything_due()
        assert client.post(f"/operations/{later.pk}/check/").status_code == 302
    assert (outcome_counts(first), outcome_counts(later)) == (
        {"sent": 8},
        {"unknown": 1},
    )
    set_task_result(platform, first, [(id, "Success", "") for id in devices])
    assert (run_until_finished(first), run_until_finished(later)) == (
        {"ok": 8},
        {"ok": 1},
    )
