"""Lists of serial numbers, IMEIs, MAC addresses and names are resolved to devices."""

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices.lookup import find_devices
from devices.models import Device
from devices.sync import read_device
from iotda_admin.core.tidy import tidy
from iotda_admin.operations.models import Operation
from iotda_admin.rate import connection
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import bind_form, change_form, target_states

FREEZE, BIND = "/devices/selection.freeze/", "/policies/selection.bind/"
MAC, IMEI = "ac:de:48:00:11:22", "353901080000001"
NODE_IDS = [MAC, MAC.upper(), IMEI, "line-2:0001"]


def known(device_id: str, **facts: Any) -> Device:
    """Change what the inventory knows of a device."""
    device = Device.objects.get(pk=device_id)
    for name, value in facts.items():
        setattr(device, name, value)
    device.save()
    return device


def chosen(text: str, *ids: str) -> list[bool]:
    return [f'name="target" value="{id}"' in text for id in ids]


@pytest.mark.parametrize("value", [*NODE_IDS, "Pump (north), hall 2", "泵（一）"])
def test_a_list_of_node_ids_or_names_shows_the_devices_before_anything_is_sent(
    operator: Client, inventory: Cloud, value: str
) -> None:
    first, second = inventory.free(2)
    column = "node_id" if value in NODE_IDS else "name"
    known(first, **{column: value})
    text = operator.post(FREEZE, {"pasted": f'id\n"{value}"\n{second}'}).text
    assert "Freeze 2 devices" in text
    assert "1 was found by node ID or name" in text
    assert chosen(text, first, second) == [True, True]
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    "name", ["“Pump”, hall 2", " Pump, hall 2 ", "Ｐｕｍｐ, hall 2"]
)
def test_an_untidy_name_is_found_by_an_index_after_it_was_read(
    inventory: Cloud, name: str
) -> None:
    device = inventory.free(1)[0]
    inventory.call("PATCH", f"devices/{device}", json={"device_name": name})
    read_device(connection.client(), device)
    value = tidy(name)
    with CaptureQueriesContext(database) as queries:
        assert [*find_devices([value], user=None)] == [value]
    # No statement reads the names of all devices.
    assert all("WHERE" in query["sql"] for query in queries)


def test_the_migration_fills_the_tidy_names(inventory: Cloud) -> None:
    first, second = inventory.free(2)
    known(first, name="“Pump”")
    Device.objects.update(tidy_name="")
    migration = import_module("devices.migrations.0004_tidy_name")
    migration.fill(apps, None)
    assert Device.objects.get(pk=first).tidy_name == "Pump"
    assert Device.objects.get(pk=second).tidy_name == ""


def test_mac_addresses_on_one_line_are_read(operator: Client, inventory: Cloud) -> None:
    first, second = inventory.free(2)
    known(first, node_id=MAC)
    known(second, node_id="ac:de:48:00:11:23")
    text = operator.post(FREEZE, {"pasted": f"{MAC}, ac:de:48:00:11:23"}).text
    assert chosen(text, first, second) == [True, True]


def test_a_device_id_precedes_a_node_id_and_a_node_id_precedes_a_name(
    operator: Client, inventory: Cloud
) -> None:
    first, second, third = inventory.free(3)
    known(second, node_id=first)
    known(third, name=IMEI)
    known(second, node_id=IMEI)
    text = operator.post(FREEZE, {"pasted": f"{first}\n{IMEI}"}).text
    assert chosen(text, first, second, third) == [True, True, False]


def test_an_ambiguous_name_is_named_with_its_candidates_and_not_guessed(
    operator: Client, inventory: Cloud
) -> None:
    first, second = inventory.free(2)
    product = known(first, name="Pump").product_name
    known(second, name="Pump")
    response = operator.post(FREEZE, {"pasted": "Pump"})
    assert response.status_code == 422
    assert "“Pump” is the name of 2 devices" in response.text
    assert f"{first} (Pump, {product})" in response.text
    assert f"{second} (Pump" in response.text


def test_a_value_that_no_device_has_is_reported_as_such(
    operator: Client, inventory: Cloud
) -> None:
    text = operator.post(FREEZE, {"pasted": MAC}).text
    assert f"“{MAC}” is not an ID" in text
    assert "no device in the inventory has this node ID or name" in text


def test_devices_outside_the_users_spaces_are_neither_found_nor_counted(
    inventory: Cloud,
) -> None:
    theirs, mine = inventory.free(2)
    known(theirs, node_id=MAC, name="Pump", app_id="elsewhere")
    known(mine, name="Pump")
    client = Client()
    client.force_login(make_user("operator", Device.objects.get(pk=mine).app_id))
    assert "is not an ID" in client.post(FREEZE, {"pasted": MAC}).text
    assert chosen(client.post(FREEZE, {"pasted": "Pump"}).text, mine) == [True]


@pytest.mark.parametrize("verb", ["freeze", "bind"])
def test_nothing_is_sent_to_a_device_that_was_found_until_it_was_shown(
    operator: Client, policyadmin: Client, inventory: Cloud, verb: str
) -> None:
    device = inventory.free(1)[0]
    known(device, node_id=MAC)
    if verb == "bind":
        form = bind_form(inventory.known_ids["policy"], pasted=MAC)
        response = policyadmin.post(BIND, form)
    else:
        form = change_form(pasted=MAC)
        response = operator.post(FREEZE, form)
    assert response.status_code == 422
    assert "Some were found by node ID or name" in response.text
    assert device in response.text
    assert not Operation.objects.exists()
    if verb == "bind":
        policyadmin.post(BIND, {**form, "pasted": device})
        assert target_states(Operation.objects.get()) == {device: "ok"}


def test_an_unknown_heading_above_names_is_no_target(
    operator: Client, inventory: Cloud
) -> None:
    first, second = inventory.free(2)
    known(first, name="Pump north")
    known(second, name="Pump-south")
    pasted = "label\nPump north\nPump-south"
    assert (
        "“label” looks like a heading" in operator.post(FREEZE, {"pasted": pasted}).text
    )
    text = operator.post(FREEZE, {"pasted": "Pump north\nPump-south"}).text
    assert chosen(text, first, second) == [True, True]
