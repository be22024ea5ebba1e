"""Failures are resolved by a later operation or by a sync."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from iotda_admin.audit.models import Event
from iotda_admin.failures.auto_resolve import resolve_by_inventory
from iotda_admin.inventory.models import SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.operations import open_failures
from iotda_admin.operations.models import Operation, Target
from iotda_admin.rate import connection
from tests.cloud import Cloud
from tests.operation_helpers import run_workers


@pytest.fixture
def failed(start_operation: Callable[..., Operation], inventory: Cloud) -> Any:
    """A freeze that IoTDA rejected."""
    inventory.fault(
        "FreezeDevice", "status", status=400, error_code="IOTDA.000006", error_msg="No."
    )
    operation = start_operation("device.freeze", inventory.free(1)[0])
    inventory.heal()
    assert operation.targets.get().state == "failed"
    return operation


def sync_and_resolve() -> None:
    assert run_sync(SyncRun.objects.create(), connection.client())
    resolve_by_inventory()


def why(operation: Any) -> str:
    return operation.targets.get().resolved_by


def test_a_later_successful_operation_resolves_a_failure(
    start_operation: Callable[..., Operation], failed: Any
) -> None:
    later = start_operation("device.freeze", failed.targets.get().target_id)
    assert why(failed) == str(later)
    assert Event.objects.get(kind="failure.solved").operation == later.pk


def test_a_large_operation_resolves_failures_in_several_statements(
    start_operation: Callable[..., Operation],
    inventory: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_failures, "TARGETS_PER_STATEMENT", 2)
    devices = inventory.free(3)
    inventory.fault(
        "FreezeDevice", "status", status=400, error_code="IOTDA.000006", error_msg="No."
    )
    earlier = start_operation("device.freeze", *devices)
    run_workers()
    inventory.heal()
    later = start_operation("device.freeze", *devices)
    run_workers()
    reasons = earlier.targets.values_list("resolved_by", flat=True)
    assert list(reasons) == [str(later)] * 3
    assert Event.objects.get(kind="failure.solved").detail == {"solved": 3, "again": 0}


def test_an_operation_resolves_no_other_failures(
    start_operation: Callable[..., Operation], failed: Any, inventory: Cloud
) -> None:
    start_operation("policy.bind", failed.targets.get().target_id, policy="policy")
    start_operation("device.freeze", inventory.free(2)[1])
    assert why(failed) == ""


def test_only_the_later_of_two_equal_failures_is_open(
    start_operation: Callable[..., Operation], failed: Any, inventory: Cloud
) -> None:
    inventory.fault(
        "FreezeDevice", "status", status=400, error_code="IOTDA.000006", error_msg="No."
    )
    later = start_operation("device.freeze", failed.targets.get().target_id)
    assert why(failed) == f"{later}, which failed again"
    assert why(later) == ""


def test_a_later_operation_resolves_an_unknown_outcome(
    start_operation: Callable[..., Operation], inventory: Cloud, me: Client
) -> None:
    inventory.fault("FreezeDevice", "drop", moment="after")
    operation = start_operation("device.freeze", inventory.free(1)[0])
    inventory.heal()
    assert "?state=unknown" in me.get("/failures/").text
    later = start_operation("device.freeze", operation.targets.get().target_id)
    assert why(operation) == str(later)


def test_a_sync_resolves_a_change_made_elsewhere(failed: Any, inventory: Cloud) -> None:
    inventory.call(
        "PATCH", f"devices/{failed.targets.get().target_id}", json={"status": "FROZEN"}
    )
    sync_and_resolve()
    assert why(failed) == "inventory: the target is as requested"
    assert Event.objects.get(kind="failure.solved").source == "worker"


def test_a_sync_before_the_failure_does_not_resolve_it(failed: Any) -> None:
    resolve_by_inventory()
    sync_and_resolve()
    assert why(failed) == ""


def test_a_sync_resolves_a_failed_bind_that_exists(
    full: Operation, inventory: Cloud
) -> None:
    target = full.targets.get().target_id
    inventory.call(
        "POST",
        "bindings",
        json={
            "policy_id": full.policy_id,
            "target_type": "device",
            "target_id": target,
        },
    )
    sync_and_resolve()
    assert why(full) == "inventory: the target is as requested"


def test_a_sync_resolves_failures_of_deleted_devices(
    failed: Any, inventory: Cloud
) -> None:
    inventory.call("DELETE", f"devices/{failed.targets.get().target_id}")
    sync_and_resolve()
    assert why(failed) == "inventory: the target no longer exists"


def test_a_failure_of_an_unknown_id_stays_open(
    start_operation: Callable[..., Operation],
) -> None:
    operation = start_operation("device.freeze", "nobody-1")
    run_workers()
    sync_and_resolve()
    assert (operation.targets.get().state, why(operation)) == ("failed", "")


def test_failures_are_compared_in_batches(
    failed: Any,
    start_operation: Callable[..., Operation],
    inventory: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("iotda_admin.failures.auto_resolve.BATCH_SIZE", 1)
    for device in inventory.free(3)[1:]:
        inventory.fault(
            "FreezeDevice",
            "status",
            status=400,
            error_code="IOTDA.000006",
            error_msg="No.",
        )
        start_operation("device.freeze", device)
    for device in inventory.free(3):
        inventory.call("DELETE", f"devices/{device}")
    sync_and_resolve()
    assert Target.objects.exclude(resolved_at=None).count() == 1
    for _ in range(3):
        resolve_by_inventory()
    assert Target.objects.exclude(resolved_at=None).count() == 3


def test_the_operation_shows_how_a_failure_was_resolved(
    me: Client, start_operation: Callable[..., Operation], failed: Any
) -> None:
    later = start_operation("device.freeze", failed.targets.get().target_id)
    assert f"Resolved: {later}" in me.get(f"{failed.get_absolute_url()}targets/").text
