"""An odd value of IoTDA is shown as it came, and takes nothing else away."""

from typing import Any

import pytest
import stamina
from django.test import Client

from devices.models import Device, Space
from iotda_admin.inventory.models import MirrorState, SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.operations.models import Target
from iotda_admin.rate import connection
from policies.models import Policy
from tests.cloud import Cloud
from tests.operation_helpers import change_form

ONLY_SHOWN = "No changes: IoTDA does not accept this ID."


def sync_again() -> Any:
    return run_sync(SyncRun.objects.create(), connection.client())


def odd(cloud: Cloud, operation: str, path: list[Any], value: Any) -> None:
    cloud.fault(operation, "odd", path=path, value=value)


@pytest.mark.parametrize("odd_id", ["a.b c", "a/b", "x\n", "\u202e\U0001f600"])
def test_a_device_with_an_odd_id_is_shown_and_cannot_be_chosen(
    inventory: Cloud, admin: Client, odd_id: str
) -> None:
    odd(inventory, "ListDevices", ["devices", 0, "device_id"], odd_id)
    assert sync_again()
    assert Device.objects.filter(pk=odd_id).exists()
    page = admin.get("/devices/", {"q": Device.objects.get(pk=odd_id).node_id})
    assert page.status_code == 200
    assert odd_id in page.text
    assert ONLY_SHOWN in page.text
    assert f'name="target" value="{odd_id}"' not in page.text


def test_a_policy_with_an_odd_id_is_shown_and_cannot_be_chosen(
    inventory: Cloud, admin: Client
) -> None:
    odd(inventory, "ListDevicePolicies", ["policies", 0, "policy_id"], "of no kind")
    assert sync_again()
    assert Policy.objects.get(pk="of no kind").statements is None
    assert ONLY_SHOWN in admin.get("/policies/").text
    form = admin.get("/policies/selection.bind/").text
    option = form.split('<option value="of no kind"')[1].split(">")[0]
    assert "disabled" in option


@pytest.mark.parametrize("value", [7, None, ["d"], "", "x" * 129, "a\0b"])
def test_a_row_whose_id_cannot_be_stored_is_left_out_and_counted(
    inventory: Cloud, admin: Client, value: Any
) -> None:
    before = set(Device.objects.values_list("pk", flat=True))
    odd(inventory, "ListDevices", ["devices", 1, "device_id"], value)
    assert sync_again()
    assert set(Device.objects.values_list("pk", flat=True)) == before
    # Row 1 of each of the two pages; one ID is one row.
    same_id = value == "x" * 129
    skipped = MirrorState.objects.get(table="devices_device").skipped
    assert skipped == (1 if same_id else 2)
    assert f"{skipped} row" in admin.get("/devices/").text


def test_a_long_reference_is_cut_to_no_id(inventory: Cloud) -> None:
    space = Space.objects.order_by("pk").first()
    assert space
    odd(inventory, "ListDevices", ["devices", 0, "app_id"], space.pk + "x" * 100)
    assert sync_again()
    cut = Device.objects.filter(app_id__endswith="…")
    assert {len(row.app_id) for row in cut} == {36}


def test_values_of_another_type_are_shown_as_json(
    inventory: Cloud, admin: Client
) -> None:
    device = inventory.known_ids["free"][0]
    for path, value in (
        ("gateway_id", ["a b"]),
        ("tags", "none"),
        ("create_time", "0001-01-01T00:00:00+14:00"),
        ("active_time", "20260230T000000Z"),
        ("description", 10**400),
    ):
        inventory.heal()
        odd(inventory, "ShowDevice", [path], value)
        page = admin.get(f"/devices/{device}/")
        assert page.status_code == 200, path
    row = Device.objects.get(pk=device)
    assert row.description == "1" + "0" * 400


@pytest.mark.parametrize("status", ["frozen", 7, ["FROZEN"], "FROZEN ", "FRO\0ZEN"])
def test_an_odd_status_decides_nothing(
    inventory: Cloud, admin: Client, status: Any
) -> None:
    frozen = inventory.known_ids["frozen"]
    odd(inventory, "ShowDevice", ["status"], status)
    with stamina.set_testing(True, attempts=1):
        admin.post(f"/devices/{frozen}/unfreeze/", change_form())
    target = Target.objects.get(target_id=frozen)
    assert target.state not in ("ok", "already")
    assert inventory.status(frozen) == "FROZEN"


def test_an_answer_about_another_device_deletes_nothing(inventory: Cloud) -> None:
    gone_from_list = Device.objects.order_by("pk").first()
    assert gone_from_list
    odd(inventory, "ListDevices", ["devices"], [])
    odd(inventory, "ShowDevice", ["device_id"], "another")
    with stamina.set_testing(True, attempts=1):
        assert sync_again()
    assert Device.objects.filter(pk=gone_from_list.pk).exists()
