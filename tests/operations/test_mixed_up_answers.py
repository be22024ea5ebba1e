"""An answer about something else than was asked is no answer."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from devices.models import Device
from iotda_admin.audit.models import Event
from iotda_admin.inventory.models import SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.iotda import BadResponse
from iotda_admin.operations.models import Operation
from iotda_admin.operations.requests import TargetSpec
from iotda_admin.operations.services import dispatch
from iotda_admin.rate.connection import client
from policies.models import Binding, Policy
from policies.sync import refresh_bindings
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
        # The answer to a bind of the same policy.
        (
            "ShowDevicePolicy",
            {"policy_id": "5" * 24, "success_targets": [], "failure_targets": []},
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
def test_an_answer_about_something_else_is_no_answer(
    cloud: Cloud, name: str, body: dict[str, Any]
) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "ShowTargetsInDevicePolicy": lambda: client().show_targets_in_device_policy(
            "5" * 24, target_type="device"
        ),
        "ShowDevicePolicy": lambda: client().show_device_policy("5" * 24),
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


def test_a_task_is_searched_for_if_its_id_is_that_of_another(
    record_operation: Record, platform: Cloud
) -> None:
    first = record_operation("device.freeze", *platform.free(4))
    run_workers()
    assert run_until_finished(first) == {"ok": 4}
    other = first.chunks.get(by_task=True).task_id
    platform.fault("CreateBatchTask", "odd", path=["task_id"], value=other)
    second = record_operation("device.unfreeze", *platform.free(4))
    run_workers()
    assert second.chunks.get(by_task=True).task_id == other
    platform.heal()
    assert run_until_finished(second) == {"ok": 4}
    assert second.chunks.get(by_task=True).task_id != other


NO_DEVICE: dict[str, Any] = {"status": 404, "error_code": "IOTDA.014000"}
NO_POLICY = {"status": 404, "error_code": "IOTDA.015201"}
FULL: dict[str, Any] = {"status": 403, "error_code": "IOTDA.015204"}


def test_a_delete_is_not_already_done_because_another_device_is_gone(
    record_operation: Record, inventory: Cloud
) -> None:
    [device] = inventory.free(1)
    inventory.fault("ShowDevice", "status", match={"times": 1}, **NO_DEVICE)
    operation = record_operation(
        "device.delete", TargetSpec(device, stood_before=False)
    )
    dispatch(operation, client())
    assert outcome_counts(operation) == {"ok": 1}
    assert len(inventory.journal("DeleteDevice")) == 1


@pytest.mark.parametrize(
    ("verb", "call", "refusal"),
    [
        ("device.freeze", "FreezeDevice", NO_DEVICE),
        (
            "device.freeze",
            "FreezeDevice",
            {"status": 403, "error_code": "IOTDA.014038"},
        ),
        (
            "device.delete",
            "DeleteDevice",
            {"status": 403, "error_code": "IOTDA.014024"},
        ),
        ("policy.bind", "BindDevicePolicy", FULL),
        ("policy.bind", "BindDevicePolicy", NO_POLICY),
        ("policy.unbind", "UnbindDevicePolicy", NO_POLICY),
    ],
)
def test_a_refusal_of_another_change_does_not_hide_that_this_one_was_made(
    record_operation: Record,
    inventory: Cloud,
    verb: str,
    call: str,
    refusal: dict[str, Any],
) -> None:
    inventory.fault(call, "status", moment="after", **refusal)
    targets = inventory.free(1)
    if verb == "policy.unbind":
        policy = inventory.known_ids["other_policy"]
        binding = {"policy_id": policy, "target_id": targets[0]}
        inventory.call("POST", "bindings", json=binding)
    operation = record_operation(verb, *targets)
    dispatch(operation, client())
    assert outcome_counts(operation) == {"unknown": 1}
    reconcile_now()
    assert outcome_counts(operation) == {"ok": 1}


def test_a_refused_bind_of_a_policy_with_many_targets_is_read_back_later(
    record_operation: Record, inventory: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its targets take too long to list for each refusal."""
    monkeypatch.setattr("policies.verbs.LISTING_SECONDS", 0)
    inventory.fault("BindDevicePolicy", "status", **FULL)
    operation = record_operation("policy.bind", *inventory.free(1), policy="policy")
    dispatch(operation, client())
    assert outcome_counts(operation) == {"unknown": 1}
    assert len(inventory.journal("BindDevicePolicy")) == 1
    for _round in range(3):
        reconcile_now()
    assert outcome_counts(operation) == {"failed": 1}


def test_a_freeze_is_not_already_done_because_another_one_was_refused(
    record_operation: Record, inventory: Cloud
) -> None:
    refusal: dict[str, Any] = {"status": 403, "error_code": "IOTDA.014039"}
    inventory.fault("FreezeDevice", "status", **refusal)
    operation = record_operation("device.freeze", *inventory.free(1))
    dispatch(operation, client())
    for _round in range(3):
        reconcile_now()
    assert outcome_counts(operation) == {"failed": 1}


def targets_of(cloud: Cloud, policy: str) -> dict[str, Any]:
    """Return the fault with the targets of a policy as the answer about another."""
    rows = [{"target_type": "device", "target_id": id} for id in cloud.bound(policy)]
    body = {"targets": rows, "page": {"count": len(rows), "marker": "a" * 24}}
    return {"status": 200, "body": body, "match": {"times": 1}}


def stored_bindings() -> set[tuple[str, str, str]]:
    return set(Binding.objects.values_list("policy_id", "target_type", "target_id"))


@pytest.mark.parametrize("read", ["form", "sync"])
def test_the_targets_of_another_policy_are_not_stored(
    inventory: Cloud, read: str
) -> None:
    policy, other = inventory.known_ids["other_policy"], inventory.known_ids["policy"]
    before = stored_bindings()
    match = {"times": 1, "policy_id": policy}
    fault = targets_of(inventory, other) | {"match": match}
    inventory.fault("ShowTargetsInDevicePolicy", "status", **fault)
    if read == "form":
        refresh_bindings(client(), policy)
    else:
        assert run_sync(SyncRun.objects.create(), client())
    assert stored_bindings() == before
    assert not Event.objects.filter(kind=Event.Kind.DRIFT).exists()


def test_a_lost_bind_is_not_done_because_another_policy_has_the_target(
    record_operation: Record, inventory: Cloud
) -> None:
    policy, other = inventory.known_ids["other_policy"], inventory.known_ids["policy"]
    target = min(inventory.bound(other) - inventory.bound(policy))
    inventory.fault("BindDevicePolicy", "drop")
    operation = record_operation("policy.bind", target)
    dispatch(operation, client())
    inventory.heal()
    inventory.fault(
        "ShowTargetsInDevicePolicy", "status", **targets_of(inventory, other)
    )
    for _round in range(3):
        reconcile_now()
    assert outcome_counts(operation) == {"failed": 1}


def test_an_unbind_from_a_deleted_policy_is_refused(
    record_operation: Record, inventory: Cloud
) -> None:
    """A second answer says so as well."""
    [target, *_others] = sorted(inventory.bound(inventory.known_ids["policy"]))
    inventory.fault("UnbindDevicePolicy", "delete_policy")
    operation = record_operation("policy.unbind", target, policy="policy")
    dispatch(operation, client())
    assert outcome_counts(operation) == {"failed": 1}
    assert operation.state == Operation.State.STOPPED
