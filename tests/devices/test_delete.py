"""Deleting devices, beyond what the generic tests of all verbs check."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
from django.test import Client

from devices.models import Device
from iotda_admin.operations.models import Operation
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import (
    change_form,
    outcome_counts,
    target_error_codes,
    target_states,
    write_requests,
)


@pytest.fixture
def delete(policyadmin: Client) -> Callable[..., Any]:
    """Delete one device on its page, with its name typed."""

    def delete(device_id: str, **more: Any) -> Any:
        name = Device.objects.get(pk=device_id).name
        form = change_form(**{"typed": name, **more})
        return policyadmin.post(f"/devices/{device_id}/delete/", form)

    return delete


def test_a_deleted_device_leaves_iotda_and_the_inventory(
    delete: Callable[..., Any], inventory: Cloud
) -> None:
    device_id = inventory.known_ids["offline"]
    delete(device_id)
    assert not Device.objects.filter(pk=device_id).exists()
    with pytest.raises(requests.HTTPError, match="404"):
        inventory.call("DELETE", f"devices/{device_id}")


def test_deleting_a_device_requires_its_name(
    delete: Callable[..., Any], inventory: Cloud
) -> None:
    response = delete(inventory.known_ids["offline"], typed="something else")
    assert response.status_code == 422
    assert "Type the name exactly as it is shown" in response.text
    assert not write_requests(inventory)


def test_deleting_several_devices_requires_their_number(
    policyadmin: Client, inventory: Cloud
) -> None:
    url, ids = "/devices/selection.delete/", inventory.free(3)
    assert "Type this to confirm" in policyadmin.post(url, {"target": ids}).text
    assert policyadmin.post(url, change_form(target=ids, typed="2")).status_code == 422
    assert not write_requests(inventory)
    policyadmin.post(url, change_form(target=ids, typed="3"))
    assert Operation.objects.get().targets.count() == 3


def test_deleting_a_gateway_with_child_devices_is_rejected(
    delete: Callable[..., Any], inventory: Cloud
) -> None:
    gateway = Device.objects.get(pk=inventory.known_ids["child"]).gateway_id
    delete(gateway)
    assert target_error_codes(Operation.objects.get()) == {gateway: "IOTDA.014024"}
    assert Device.objects.filter(pk=gateway).exists()


def test_a_known_device_that_iotda_no_longer_has_is_already_deleted(
    delete: Callable[..., Any], inventory: Cloud
) -> None:
    device_id = inventory.known_ids["offline"]
    inventory.call("DELETE", f"devices/{device_id}")
    delete(device_id)
    assert outcome_counts(Operation.objects.get()) == {"already": 1}


def test_deleting_an_unknown_device_fails(
    policyadmin: Client, inventory: Cloud
) -> None:
    form = change_form(target=["no-such-device"], typed="no-such-device")
    policyadmin.post("/devices/selection.delete/", form)
    operation = Operation.objects.get()
    assert target_states(operation) == {"no-such-device": "failed"}
    assert target_error_codes(operation) == {"no-such-device": "IOTDA.014000"}


def test_a_delete_cannot_be_undone(
    delete: Callable[..., Any], policyadmin: Client, inventory: Cloud
) -> None:
    page = delete(inventory.known_ids["offline"]).url
    assert "Undo" not in policyadmin.get(page).text
    assert policyadmin.get(f"{page}undo/").status_code == 404


def test_the_page_of_a_deleted_device_shows_its_history(
    delete: Callable[..., Any], policyadmin: Client, inventory: Cloud
) -> None:
    device_id = inventory.known_ids["offline"]
    delete(device_id)
    page = policyadmin.get(f"/devices/{device_id}/")
    assert page.status_code == 404
    assert "IoTDA no longer knows this device." in page.text
    assert Operation.objects.get().targets.get().name in page.text
    assert str(Operation.objects.get()) in page.text


def test_a_deleted_device_of_another_space_stays_hidden(
    delete: Callable[..., Any], client: Client, inventory: Cloud
) -> None:
    device_id = inventory.known_ids["offline"]
    home = Device.objects.get(pk=device_id).app_id
    other = next(s for s in inventory.known_ids["free_by_space"] if s != home)
    delete(device_id)
    client.force_login(make_user("admin", other))
    assert client.get(f"/devices/{device_id}/").status_code == 404
    assert "IoTDA no longer knows" not in client.get(f"/devices/{device_id}/").text
