"""An answer about something else than was asked is no answer."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from devices.models import Device
from iotda_admin.iotda import BadResponse
from iotda_admin.operations.models import Operation
from iotda_admin.operations.services import dispatch
from iotda_admin.rate.connection import client
from policies.models import Policy
from tests.batch_task_helpers import poll_tasks_now, run_until_finished
from tests.cloud import Cloud
from tests.operation_helpers import outcome_counts, reconcile_now, run_workers

Record = Callable[..., Operation]


def frozen(cloud: Cloud) -> str:
    """Return a frozen device, about which IoTDA answers instead."""
    [device, *_others] = (
        pk
        for pk in Device.objects.filter(status="FROZEN").values_list("pk", flat=True)
        if cloud.status(pk) == "FROZEN"
    )
    return str(device)


def test_a_freeze_is_not_already_done_because_another_device_is_frozen(
    record_operation: Record, inventory: Cloud
) -> None:
    [device] = inventory.free(1)
    inventory.fault("ShowDevice", "mix_up", id=frozen(inventory))
    operation = record_operation("device.freeze", device)
    dispatch(operation, client())
    assert "already" not in outcome_counts(operation)
    assert "ok" not in outcome_counts(operation)


def test_a_lost_freeze_is_not_done_because_another_device_is_frozen(
    record_operation: Record, inventory: Cloud
) -> None:
    [device] = inventory.free(1)
    other = frozen(inventory)
    inventory.fault("FreezeDevice", "drop")
    operation = record_operation("device.freeze", device)
    dispatch(operation, client())
    assert outcome_counts(operation) == {"unknown": 1}
    inventory.heal()
    inventory.fault("ShowDevice", "mix_up", id=other)
    for _round in range(3):
        reconcile_now()
    assert outcome_counts(operation) == {"unknown": 1}
    inventory.heal()
    for _round in range(3):
        reconcile_now()
    assert outcome_counts(operation) == {"failed": 1}


def test_the_page_of_a_device_shows_and_stores_no_other(
    operator: Client, inventory: Cloud
) -> None:
    [device] = inventory.free(1)
    other, before = frozen(inventory), Device.objects.values().get(pk=device)
    name = Device.objects.get(pk=other).name
    inventory.fault("ShowDevice", "mix_up", id=other)
    text = operator.get(f"/devices/{device}/").text
    assert name not in text
    after = Device.objects.values().get(pk=device)
    assert (after["name"], after["status"]) == (before["name"], before["status"])


def test_the_page_of_a_policy_shows_and_stores_no_other(
    policyadmin: Client, inventory: Cloud
) -> None:
    policy, other = Policy.objects.order_by("pk")[:2]
    inventory.fault("ShowDevicePolicy", "mix_up", id=other.pk)
    policyadmin.get(f"/policies/{policy.pk}/")
    assert Policy.objects.get(pk=policy.pk).name == policy.name


def test_the_rows_of_another_batch_task_are_no_outcomes(
    record_operation: Record, platform: Cloud
) -> None:
    first = record_operation("device.freeze", *platform.free(4))
    run_workers()
    poll_tasks_now()
    assert outcome_counts(first) == {"ok": 4}
    second = record_operation("device.unfreeze", *platform.free(4))
    run_workers()
    task = first.chunks.get(by_task=True).task_id
    platform.fault("ShowBatchTask", "mix_up", id=task)
    poll_tasks_now()
    assert outcome_counts(second) == {"sent": 4}
    platform.heal()
    assert run_until_finished(second) == {"ok": 4}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (
            "ShowTargetsInDevicePolicy",
            {
                "targets": [{"target_id": "x", "target_type": "product"}],
                "page": {"count": 1},
            },
        ),
        (
            "ListBatchTasks",
            {
                "batchtasks": [
                    {
                        "task_id": "a" * 24,
                        "task_type": "deleteDevices",
                        "status": "Success",
                        "task_progress": {},
                    }
                ],
                "page": {"count": 1},
            },
        ),
        (
            "ListDevices",
            {
                "devices": [
                    {"device_id": f"d{n}", "status": "ONLINE"} for n in range(51)
                ],
                "page": {"count": 51},
            },
        ),
    ],
)
def test_a_page_of_other_rows_is_no_answer(
    cloud: Cloud, name: str, body: dict[str, Any]
) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "ShowTargetsInDevicePolicy": lambda: client().show_targets_in_device_policy(
            "5" * 24, target_type="device"
        ),
        "ListBatchTasks": lambda: client().list_batch_tasks("freezeDevices"),
        "ListDevices": lambda: client().list_devices(),
    }
    cloud.fault(name, "status", status=200, body=body)
    with pytest.raises(BadResponse):
        calls[name]()


def test_the_answer_about_another_new_task_is_no_answer(
    record_operation: Record, platform: Cloud
) -> None:
    """The task is then found by its name."""
    body = {
        "task_id": "b" * 24,
        "task_name": "another",
        "task_type": "freezeDevices",
        "status": "Waitting",
        "task_progress": {},
    }
    platform.fault("CreateBatchTask", "status", status=201, body=body, moment="after")
    operation = record_operation("device.freeze", *platform.free(4))
    run_workers()
    assert outcome_counts(operation) == {"unknown": 4}
    platform.heal()
    for _round in range(3):
        poll_tasks_now()
    assert operation.chunks.get(by_task=True).task_id != "b" * 24
    assert outcome_counts(operation) == {"ok": 4}
