"""A sync records what changed in IoTDA without an operation of ours."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.test import Client

from devices.models import Device
from devices.sync import read_device
from iotda_admin.audit.models import Event
from iotda_admin.inventory.models import MirrorState, SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.operations.execution.batch_tasks import poll_due_tasks
from iotda_admin.operations.models import Chunk, Operation
from iotda_admin.rate import connection
from policies.models import Binding, Policy
from policies.sync import refresh_bindings
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import run_workers


def sync_again() -> None:
    assert run_sync(SyncRun.objects.create(), connection.client())


def drifts() -> list[tuple[str, Sequence[str]]]:
    """Return the change and the targets of each drift event."""
    events = Event.objects.filter(kind="drift").order_by("pk")
    return [
        (event.detail["change"], [each.target_id for each in event.outcomes.all()])
        for event in events
    ]


@pytest.fixture
def device(inventory: Cloud) -> str:
    return str(inventory.free(1)[0])


def test_a_device_frozen_and_unfrozen_outside_is_recorded(
    inventory: Cloud, device: str
) -> None:
    before = Device.objects.get(pk=device)
    inventory.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    sync_again()
    inventory.call("PATCH", f"devices/{device}", json={"status": "OFFLINE"})
    sync_again()
    assert drifts() == [("frozen", [device]), ("unfrozen", [device])]
    first = Event.objects.filter(kind="drift").last()
    assert (first.detail["before"], first.detail["after"]) == (before.status, "FROZEN")
    assert (first.space, first.source) == (before.app_id, "worker")


def test_a_device_that_only_disconnects_is_no_drift(
    inventory: Cloud, device: str
) -> None:
    inventory.call("PATCH", f"devices/{device}", json={"status": "ABNORMAL"})
    sync_again()
    assert drifts() == []


def test_bindings_changed_outside_are_recorded(inventory: Cloud, device: str) -> None:
    policy = inventory.known_ids["policy"]
    gone = min(inventory.bound(policy))
    inventory.call("POST", "bindings", json={"policy_id": policy, "target_id": device})
    inventory.call(
        "DELETE", "bindings", params={"policy_id": policy, "target_id": gone}
    )
    sync_again()
    assert drifts() == [("bound", [device]), ("unbound", [gone])]
    event = Event.objects.filter(kind="drift").first()
    name = Policy.objects.get(pk=policy).name
    assert (event.policy_id, event.policy_name) == (policy, name)


def test_a_device_deleted_outside_is_recorded(inventory: Cloud, device: str) -> None:
    inventory.call("DELETE", f"devices/{device}")
    sync_again()
    assert ("deleted", [device]) in drifts()


def test_the_changes_of_our_operations_are_no_drift(
    inventory: Cloud, start_operation: Callable[..., Operation]
) -> None:
    first, second, third = inventory.free(3)
    start_operation("device.freeze", first)
    start_operation("policy.bind", second)
    start_operation("device.delete", third)
    sync_again()
    assert drifts() == []


def test_the_bindings_of_a_deleted_device_are_no_drift(
    inventory: Cloud, start_operation: Callable[..., Operation]
) -> None:
    ours, theirs, *_rest = sorted(inventory.bound(inventory.known_ids["policy"]))
    start_operation("device.delete", ours)
    inventory.call("DELETE", f"devices/{theirs}")
    sync_again()
    assert drifts() == [("deleted", [theirs])]


def test_an_unknown_outcome_that_is_not_read_back_explains_nothing(
    inventory: Cloud, start_operation: Callable[..., Operation], device: str
) -> None:
    operation = start_operation("device.unfreeze", device)
    operation.targets.update(state="unknown", settled_at=None)
    inventory.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    sync_again()
    assert drifts() == [("frozen", [device])]


def test_an_unanswered_change_is_no_drift(
    inventory: Cloud, start_operation: Callable[..., Operation], device: str
) -> None:
    inventory.fault("FreezeDevice", "drop", moment="after")
    start_operation("device.freeze", device)
    inventory.heal()
    sync_again()
    assert drifts() == []


def test_the_first_sync_finds_no_drift(inventory: Cloud, device: str) -> None:
    MirrorState.objects.all().delete()
    inventory.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    sync_again()
    assert drifts() == []


def test_the_page_of_the_device_shows_a_drift(
    inventory: Cloud, viewer: Client, device: str
) -> None:
    inventory.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    sync_again()
    assert "Frozen outside IoTDA Admin" in viewer.get(f"/devices/{device}/").text
    other = Device.objects.exclude(app_id=Device.objects.get(pk=device).app_id).first()
    other_user: Any = Client()
    other_user.force_login(make_user("operator", other.app_id))
    assert other_user.get(f"/devices/{device}/").status_code == 404


def test_the_page_that_reads_a_change_first_records_it_once(
    inventory: Cloud, viewer: Client, device: str
) -> None:
    inventory.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    text = viewer.get(f"/devices/{device}/").text
    assert "Frozen outside IoTDA Admin" in text
    viewer.get(f"/devices/{device}/")
    sync_again()
    assert drifts() == [("frozen", [device])]


def test_a_reread_before_a_bind_records_changed_bindings_once(
    inventory: Cloud, device: str
) -> None:
    policy = inventory.known_ids["policy"]
    gone = min(inventory.bound(policy))
    inventory.call("POST", "bindings", json={"policy_id": policy, "target_id": device})
    inventory.call(
        "DELETE", "bindings", params={"policy_id": policy, "target_id": gone}
    )
    refresh_bindings(connection.client(), policy)
    assert drifts() == [("bound", [device]), ("unbound", [gone])]
    refresh_bindings(connection.client(), policy)
    sync_again()
    assert len(drifts()) == 2


def test_the_read_before_a_freeze_records_a_freeze_outside(
    inventory: Cloud, start_operation: Callable[..., Operation], device: str
) -> None:
    inventory.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    operation = start_operation("device.freeze", device)
    assert operation.targets.get().state == "already"
    sync_again()
    assert drifts() == [("frozen", [device])]


def test_the_read_before_a_second_attempt_may_show_the_first(
    inventory: Cloud, record_operation: Callable[..., Operation], device: str
) -> None:
    record_operation("device.freeze", device)
    Chunk.objects.update(attempts=1)
    inventory.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    run_workers()
    assert Device.objects.get(pk=device).status == "FROZEN"
    assert drifts() == []


def test_the_reads_around_an_unfreeze_are_no_drift(
    inventory: Cloud, start_operation: Callable[..., Operation], device: str
) -> None:
    start_operation("device.freeze", device)
    start_operation("device.unfreeze", device)
    assert Device.objects.get(pk=device).status == "OFFLINE"
    sync_again()
    assert drifts() == []


def test_a_batch_task_that_finds_devices_frozen_records_it(
    platform: Cloud, start_operation: Callable[..., Operation], device: str
) -> None:
    platform.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    operation = start_operation("device.freeze", *platform.free(8))
    run_workers()
    Chunk.objects.update(due_at=operation.created_at)
    poll_due_tasks()
    assert operation.targets.get(target_id=device).state == "already"
    sync_again()
    assert drifts() == [("frozen", [device])]


def test_a_bind_of_a_target_that_has_the_policy_records_it(
    inventory: Cloud, start_operation: Callable[..., Operation], device: str
) -> None:
    inventory.switch(already_bound="failure")
    policy = inventory.known_ids["other_policy"]
    inventory.call("POST", "bindings", json={"policy_id": policy, "target_id": device})
    operation = start_operation("policy.bind", device)
    assert operation.targets.get().state == "already"
    assert Binding.objects.filter(policy=policy, target_id=device).exists()
    sync_again()
    assert drifts() == [("bound", [device])]


def test_a_page_records_no_drift_before_the_first_sync(
    inventory: Cloud, device: str
) -> None:
    MirrorState.objects.all().delete()
    inventory.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    read_device(connection.client(), device)
    assert drifts() == []


def test_the_audit_trail_is_filtered_by_drift(
    inventory: Cloud, auditor: Client, device: str
) -> None:
    inventory.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    sync_again()
    text = auditor.get("/audit/?kind=drift").text
    assert "frozen outside IoTDA Admin" in text
