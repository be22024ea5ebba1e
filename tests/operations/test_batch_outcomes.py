"""Each device of a batch task has its own outcome."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.test import Client

from devices.models import Device
from iotda_admin.inventory.models import SyncRun
from iotda_admin.operations.execution import batch_tasks
from iotda_admin.operations.models import Operation
from iotda_admin.rate import connection
from tests.batch_task_helpers import poll_tasks_now, run_until_finished, set_task_result
from tests.cloud import Cloud
from tests.operation_helpers import (
    make_everything_due,
    outcome_counts,
    reconcile_now,
    target_error_codes,
    target_states,
)

NOBODY = "IOTDA.014000"


def test_each_device_has_its_own_outcome(
    start_operation: Callable[..., Operation], platform: Cloud
) -> None:
    known = platform.known_ids
    operation = start_operation(
        "device.freeze", known["online"], known["child"], known["frozen"], "nobody"
    )
    assert run_until_finished(operation) == {"already": 1, "failed": 2, "ok": 1}
    assert target_error_codes(operation) == {
        known["online"]: "",
        known["child"]: "IOTDA.014038",
        known["frozen"]: "IOTDA.014039",
        "nobody": NOBODY,
    }


def test_a_device_that_the_inventory_had_as_frozen_is_already(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> None:
    platform.switch(repeat_freeze="ok")
    frozen = platform.known_ids["frozen"]
    operation = start_operation("device.freeze", *devices, frozen)
    assert run_until_finished(operation) == {"already": 1, "ok": 8}
    assert target_states(operation)[frozen] == "already"


def test_a_task_that_failed_as_a_whole_shows_the_reason(
    finished: Operation, platform: Cloud
) -> None:
    numbers = {"total": 8, "fail": 8}
    set_task_result(
        platform,
        finished,
        [],
        status="Fail",
        status_desc="Out of order.",
        task_progress=numbers,
    )
    poll_tasks_now()
    assert outcome_counts(finished) == {"failed": 8}
    assert set(finished.targets.values_list("error_code", "error_message")) == {
        ("task_failed", "Out of order.")
    }


@pytest.mark.parametrize("numbers", [{}, {"success": 8}, {"total": 8, "processing": 8}])
def test_a_task_without_rows_that_does_not_count_all_as_failed_is_read_back(
    finished: Operation, platform: Cloud, numbers: Any
) -> None:
    set_task_result(platform, finished, [], status="Stopped", task_progress=numbers)
    poll_tasks_now()
    reconcile_now()
    assert outcome_counts(finished) == {"ok": 8}


@pytest.mark.parametrize("status", ["Stopped", "Removed"])
def test_a_device_of_a_stopped_task_that_was_not_reached_has_failed(
    finished: Operation, devices: Sequence[str], platform: Cloud, status: str
) -> None:
    set_task_result(
        platform,
        finished,
        [(id, "Success", "") for id in devices[1:]] + [(devices[0], status, "")],
    )
    poll_tasks_now()
    assert (
        target_states(finished)[devices[0]],
        target_error_codes(finished)[devices[0]],
    ) == (
        "failed",
        "task_stopped",
    )


def test_a_failed_device_shows_the_message_of_iotda(
    finished: Operation, devices: Sequence[str], platform: Cloud
) -> None:
    set_task_result(platform, finished, [(id, "Fail", "IOTDA.999") for id in devices])
    poll_tasks_now()
    assert set(
        finished.targets.values_list("state", "error_code", "error_message")
    ) == {("failed", "IOTDA.999", "In IoTDA's words.")}


def test_a_device_that_still_waits_is_polled_again(
    finished: Operation, devices: Sequence[str], platform: Cloud
) -> None:
    set_task_result(
        platform,
        finished,
        [(id, "Success", "") for id in devices[1:]] + [(devices[0], "Waitting", "")],
    )
    poll_tasks_now()
    assert outcome_counts(finished) == {"ok": 7, "sent": 1}
    platform.heal()
    poll_tasks_now()
    assert outcome_counts(finished) == {"ok": 8}


def test_a_row_that_never_ends_is_read_back_from_the_device(
    finished: Operation, devices: Sequence[str], platform: Cloud
) -> None:
    set_task_result(
        platform,
        finished,
        [(id, "Success", "") for id in devices[1:]] + [(devices[0], "Waitting", "")],
    )
    assert run_until_finished(finished) == {"ok": 8}
    assert [entry["target_ids"] for entry in platform.journal("ShowDevice")] == [
        [devices[0]]
    ]


def test_a_device_that_the_task_does_not_list_is_read_back(
    finished: Operation, devices: Sequence[str], platform: Cloud
) -> None:
    set_task_result(platform, finished, [(id, "Success", "") for id in devices[2:]])
    poll_tasks_now()
    assert outcome_counts(finished) == {"ok": 6, "unknown": 2}
    reconcile_now()
    assert outcome_counts(finished) == {"ok": 8}
    assert finished.finished_at


def test_contradicting_rows_leave_the_device_unknown(
    finished: Operation, devices: Sequence[str], platform: Cloud
) -> None:
    rows = [(id, "Success", "") for id in devices]
    set_task_result(platform, finished, [*rows, (devices[0], "Fail", "IOTDA.999")])
    poll_tasks_now()
    assert (target_states(finished)[devices[0]], outcome_counts(finished)) == (
        "unknown",
        {"ok": 7, "unknown": 1},
    )


def test_repeated_rows_change_nothing(
    finished: Operation, devices: Sequence[str], platform: Cloud
) -> None:
    rows = [(id, "Success", "") for id in devices]
    set_task_result(platform, finished, [*rows, rows[0]])
    poll_tasks_now()
    assert outcome_counts(finished) == {"ok": 8}


def test_rows_of_other_devices_are_those_of_another_task(
    finished: Operation, devices: Sequence[str], platform: Cloud
) -> None:
    """After three such answers each device is read."""
    rows = [(id, "Fail", "IOTDA.014038") for id in (*devices, "not-requested")]
    set_task_result(platform, finished, rows)
    for _poll in range(2):
        poll_tasks_now()
        assert outcome_counts(finished) == {"sent": 8}
    poll_tasks_now()
    reconcile_now()
    assert outcome_counts(finished) == {"ok": 8}


def test_the_devices_of_a_deleted_task_are_read_back(
    finished: Operation, platform: Cloud
) -> None:
    task_id = finished.chunks.get().task_id
    client = connection.client()
    client._acknowledged("DeleteBatchTask", "DELETE", f"/batchtasks/{task_id}")
    poll_tasks_now()
    assert outcome_counts(finished) == {"unknown": 8}
    reconcile_now()
    assert outcome_counts(finished) == {"ok": 8}


def test_a_404_that_is_not_from_iotda_does_not_mean_a_deleted_task(
    finished: Operation, platform: Cloud
) -> None:
    platform.fault("ShowBatchTask", "status", status=404, error_code="APIGW.0101")
    poll_tasks_now()
    assert outcome_counts(finished) == {"sent": 8}


@pytest.mark.parametrize("fault", ["drop", "html", "bad_json", "throttle"])
def test_a_failed_poll_is_repeated(
    finished: Operation, platform: Cloud, fault: str
) -> None:
    platform.fault("ShowBatchTask", fault, match={"times": 1})
    poll_tasks_now()
    assert outcome_counts(finished) == {"sent": 8}
    poll_tasks_now()
    assert outcome_counts(finished) == {"ok": 8}


def test_unreadable_rows_are_not_requested_endlessly(
    finished: Operation, platform: Cloud
) -> None:
    task = {"task_type": "freezeDevices", "status": "Success"}
    task["task_id"] = finished.chunks.get().task_id
    body = {"batchtask": task, "task_details": [], "page": {"count": 8}}
    platform.fault("ShowBatchTask", "status", status=200, body=body)
    for _look in range(3):
        assert outcome_counts(finished) == {"sent": 8}
        poll_tasks_now()
    assert outcome_counts(finished) == {"unknown": 8}


@pytest.mark.parametrize(("status", "code"), [(404, "IOTDA.014000"), (500, "")])
def test_a_poller_that_is_replaced_while_its_poll_fails_writes_nothing(
    finished: Operation,
    platform: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
) -> None:
    client, (chunk,) = connection.client(), finished.chunks.all()
    ask = client.show_batch_task
    platform.fault("ShowBatchTask", "status", status=status, error_code=code)

    def overtaken(*args: Any) -> Any:
        finished.chunks.update(token=99)
        return ask(*args)

    monkeypatch.setattr(client, "show_batch_task", overtaken)
    make_everything_due()
    batch_tasks.poll_task(chunk.pk, client)
    chunk.refresh_from_db()
    assert (chunk.state, chunk.error_message, outcome_counts(finished)) == (
        "followed",
        "",
        {"sent": 8},
    )


def test_the_work_of_a_worker_that_died_while_writing_results_is_taken_over(
    finished: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_tasks, "TARGETS_PER_TRANSACTION", 3)
    beats = iter(range(1, 99))

    def beat(_following: Any) -> None:
        # One for each row, and one for each three that are settled.
        if next(beats) == 10:
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(batch_tasks.TaskPoll, "heartbeat", beat)
        with pytest.raises(SystemExit):
            poll_tasks_now()
    assert (outcome_counts(finished), finished.finished_at) == (
        {"ok": 6, "sent": 2},
        None,
    )
    poll_tasks_now()
    assert outcome_counts(finished) == {"ok": 8}
    assert finished.finished_at


def test_the_device_list_shows_the_frozen_devices(
    finished: Operation, devices: Sequence[str]
) -> None:
    poll_tasks_now()
    assert set(
        Device.objects.filter(pk__in=devices).values_list("status", flat=True)
    ) == {"FROZEN"}


def test_the_status_after_an_unfreeze_is_not_guessed(
    finished: Operation,
    start_operation: Callable[..., Operation],
    devices: Sequence[str],
    platform: Cloud,
) -> None:
    poll_tasks_now()
    operation = start_operation("device.unfreeze", *devices)
    assert run_until_finished(operation) == {"ok": 8}
    assert set(
        Device.objects.filter(pk__in=devices).values_list("status", flat=True)
    ) == {""}
    assert SyncRun.objects.filter(state="asked").exists()


def test_a_device_that_was_not_read_yet_is_marked(
    operator: Client, devices: Sequence[str]
) -> None:
    Device.objects.filter(pk__in=devices).update(status="")
    assert b"Not synced yet" in operator.get("/devices/").content
    assert b"Not synced yet" in operator.get("/").content
