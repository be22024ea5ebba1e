"""The tables after a sync during which the platform changed or failed."""

from datetime import timedelta
from typing import Any

import pytest
import stamina
from django.db.models import AutoField
from django.utils import timezone
from pytest_django import Settings

from devices.models import Device, Product, Space
from iotda_admin.core.search_text import search_text_fields
from iotda_admin.inventory import sync
from iotda_admin.inventory.mirror import mirrors
from iotda_admin.inventory.models import SyncRun
from iotda_admin.rate import connection
from policies.models import Binding, Policy
from tests.cloud import Cloud
from tests.operation_helpers import make_iotda_unreachable


def sync_again() -> Any:
    return sync.run_sync(SyncRun.objects.create(), connection.client())


FIELDS = [
    "node_id",
    "status",
    "node_type",
    "gateway_id",
    "product_id",
    "product_name",
    "app_id",
    "app_name",
]
FIELDS += ["fw_version", "sw_version", "description"]


def test_each_device_equals_the_platforms_device(inventory: Cloud) -> None:
    for row in Device.objects.all():
        theirs = inventory.call("GET", f"devices/{row.pk}")
        assert [getattr(row, name) for name in FIELDS] == [
            theirs[name] or "" for name in FIELDS
        ]
        assert (row.name, row.tags) == (
            theirs["device_name"],
            [[tag["tag_key"], tag["tag_value"]] for tag in theirs["tags"]],
        )


def test_a_moved_device_is_listed_once(inventory: Cloud) -> None:
    device = Device.objects.get(pk=inventory.known_ids["online"])
    other = Product.objects.exclude(pk=device.product_id).first()
    inventory.call("PATCH", f"devices/{device.pk}", json={"product_id": other.pk})
    assert sync_again()
    moved = Device.objects.get(pk=device.pk)
    assert (moved.product_id, moved.app_id) == (other.pk, other.app_id)
    assert Device.objects.count() == 60


def test_renamed_spaces_and_products_are_renamed(inventory: Cloud) -> None:
    space, product = inventory.known_ids["space"], inventory.known_ids["product"]
    inventory.call("PATCH", f"spaces/{space}", json={"name": "Renamed"})
    inventory.call("PATCH", f"products/{product}", json={"name": "Renamed-too"})
    assert sync_again()
    assert Space.objects.get(pk=space).name == "Renamed"
    assert Product.objects.get(pk=product).name == "Renamed-too"


def test_a_sync_writes_only_what_changed(inventory: Cloud) -> None:
    renamed, tagged = inventory.known_ids["online"], inventory.free(1)[0]
    tags = Device.objects.get(pk=tagged).tags
    # It is written again with the columns that it is made of, and with no others.
    Device.objects.update(search_text="as before")
    Device.objects.filter(pk=tagged).update(tags=[["floor", "2"]])
    Binding.objects.update(read_at=timezone.now() - timedelta(hours=1))
    inventory.call("PATCH", f"devices/{renamed}", json={"device_name": "New"})
    started = timezone.now()
    assert sync_again()
    written = Device.objects.exclude(search_text="as before").get()
    assert (written.pk, written.name) == (renamed, "New")
    assert written.search_text == f"{renamed} {written.node_id} new".lower()
    assert Device.objects.get(pk=tagged).tags == tags
    # The others are as they were, at the time of this sync.
    for model in (Space, Product, Device, Policy, Binding):
        assert not model.objects.filter(read_at__lt=started).exists(), model


def test_a_mirror_stores_each_column_of_its_table() -> None:
    for mirror in mirrors():
        derived = [field.name for field in search_text_fields(mirror.model)]
        columns = {*mirror.names, "read_at", *derived}
        assert columns == {
            field.attname
            for field in mirror.model._meta.concrete_fields
            if not isinstance(field, AutoField)
        }


def test_a_deleted_policy_loses_its_bindings(inventory: Cloud) -> None:
    policy = inventory.known_ids["policy"]
    assert Binding.objects.filter(policy=policy).exists()
    inventory.call("DELETE", f"policies/{policy}")
    assert sync_again()
    assert not Policy.objects.filter(pk=policy).exists()
    assert not Binding.objects.filter(policy=policy).exists()


def test_bindings_changed_elsewhere_are_synced(inventory: Cloud) -> None:
    policy, device = inventory.known_ids["policy"], inventory.free(1)[0]
    gone = min(inventory.bound(policy))
    inventory.call("POST", "bindings", json={"policy_id": policy, "target_id": device})
    inventory.call(
        "DELETE", "bindings", params={"policy_id": policy, "target_id": gone}
    )
    assert sync_again()
    bound = set(
        Binding.objects.filter(policy=policy, target_type="device").values_list(
            "target_id", flat=True
        )
    )
    assert bound == inventory.bound(policy)


@pytest.mark.parametrize("call", ["ShowDevicePolicy", "ShowTargetsInDevicePolicy"])
def test_a_policy_deleted_during_a_sync_is_removed(inventory: Cloud, call: str) -> None:
    before = Policy.objects.count()
    inventory.fault(call, "delete_policy", match={"nth": 1})
    assert sync_again()
    assert sync_again()
    assert Policy.objects.count() == before - 1


def test_a_list_that_changes_during_a_sync_has_no_device_twice(
    inventory: Cloud,
) -> None:
    inventory.reset(devices=200)
    inventory.fault("ListDevices", "list_mutates")
    assert sync_again()
    inventory.heal()
    assert sync_again()
    assert Device.objects.count() == 200


@pytest.mark.parametrize("fault", ["html", "bad_json", "drop"])
def test_a_transient_error_is_retried(inventory: Cloud, fault: str) -> None:
    inventory.fault("ListProducts", fault, match={"times": 1})
    assert sync_again()


def test_a_failed_sync_changes_nothing(inventory: Cloud, settings: Settings) -> None:
    make_iotda_unreachable(settings)
    rows = Device.objects.count(), Policy.objects.count(), Binding.objects.count()
    fresh = SyncRun.fresh_at()
    with stamina.set_testing(True, attempts=1):
        assert not sync_again()
    assert (
        Device.objects.count(),
        Policy.objects.count(),
        Binding.objects.count(),
    ) == rows
    assert SyncRun.fresh_at() == fresh
    assert "refused" in SyncRun.objects.first().error


def test_a_sync_that_was_given_up_does_not_report_success(inventory: Cloud) -> None:
    run = SyncRun.objects.create()
    assert sync.claim_run(run)
    SyncRun.objects.filter(pk=run.pk).update(
        alive_at=timezone.now() - timedelta(hours=1)
    )
    sync.fail_silent_runs()
    sync.finish_run(run, SyncRun.State.DONE)
    assert run.state == "failed"


def test_a_failed_sync_is_due_again_soon(inventory: Cloud) -> None:
    run = SyncRun.objects.create(state="failed", finished_at=timezone.now())
    assert sync.seconds_until_sync() > 0
    SyncRun.objects.filter(pk=run.pk).update(
        finished_at=timezone.now() - timedelta(seconds=31)
    )
    assert sync.seconds_until_sync() == 0


def test_a_run_is_claimed_once(inventory: Cloud) -> None:
    run = SyncRun.objects.create()
    assert [sync.claim_run(run), sync.claim_run(run)] == [True, False]


def test_old_runs_are_deleted(inventory: Cloud) -> None:
    SyncRun.objects.bulk_create(
        SyncRun(state="done", finished_at=timezone.now()) for _ in range(250)
    )
    sync_again()
    assert SyncRun.objects.count() == 200
    assert SyncRun.objects.first().rows > 60


def test_a_404_of_the_gateway_removes_nothing(inventory: Cloud) -> None:
    before = Policy.objects.count()
    inventory.fault(
        "ShowDevicePolicy",
        "status",
        status=404,
        error_code="APIGW.0101",
        error_msg="No such API.",
    )
    assert not sync_again()
    assert Policy.objects.count() == before
