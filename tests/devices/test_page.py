"""The page of a device: read from IoTDA, or from the inventory if that fails."""

import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from devices.models import Device
from policies.models import Binding
from tests.cloud import Cloud
from tests.conftest import signed_in
from tests.operation_helpers import change_form, make_iotda_unreachable


def page(client: Any, device: Any) -> Any:
    return client.get(f"/devices/{device}/")


def test_the_page_reads_the_device_and_updates_the_inventory(
    viewer: Client, inventory: Cloud
) -> None:
    device = inventory.known_ids["online"]
    inventory.call(
        "PATCH",
        f"devices/{device}",
        json={"status": "FROZEN", "device_name": "renamed"},
    )
    response = page(viewer, device)
    assert "Read from IoTDA just now" in response.text
    assert Device.objects.get(pk=device).name == "renamed"
    assert 'data-state="FROZEN"' in response.text


def test_while_iotda_is_down_the_page_shows_the_inventory_with_its_age(
    viewer: Client, inventory: Cloud, settings: Settings
) -> None:
    device = Device.objects.get(pk=inventory.known_ids["online"])
    make_iotda_unreachable(settings)
    response = page(viewer, device.pk)
    assert response.status_code == 503
    assert "The request to IoTDA failed." in response.text
    assert "From the inventory, synced" in response.text
    assert device.node_id in response.text


def test_a_rejection_is_shown_with_code_and_request_id(
    viewer: Client, inventory: Cloud
) -> None:
    inventory.fault(
        "ShowDevice",
        "status",
        status=403,
        error_code="IOTDA.000022",
        error_msg="<b>No.</b>",
    )
    response = page(viewer, inventory.known_ids["online"])
    assert response.status_code == 502
    assert "&lt;b&gt;No.&lt;/b&gt;" in response.text
    assert inventory.journal("ShowDevice")[-1]["request_id"] in response.text


@pytest.mark.parametrize("fault", ["html", "bad_json", "drop", "empty", "error_200"])
def test_an_unreadable_answer_does_not_change_the_inventory(
    viewer: Client, inventory: Cloud, fault: str
) -> None:
    inventory.fault("ShowDevice", fault)
    response = page(viewer, inventory.known_ids["online"])
    assert response.status_code in (502, 503)
    assert inventory.known_ids["online"] in response.text


def test_a_deleted_device_is_shown_as_deleted(
    operator: Client, inventory: Cloud
) -> None:
    device = inventory.known_ids["online"]
    inventory.call("DELETE", f"devices/{device}")
    response = page(operator, device)
    assert response.status_code == 404
    assert "IoTDA no longer knows this device" in response.text
    assert f"/devices/{device}/freeze/" not in response.text


def test_an_unknown_device_is_not_found(viewer: Client, inventory: Cloud) -> None:
    assert page(viewer, "nobody").status_code == 404


def test_a_device_missing_from_the_inventory_is_found_at_iotda(
    viewer: Client, inventory: Cloud
) -> None:
    product = inventory.known_ids["product"]
    inventory.call(
        "POST",
        "devices",
        json={"product_id": product, "node_id": "new", "device_id": "brand-new"},
    )
    assert page(viewer, "brand-new").status_code == 200
    assert Device.objects.filter(pk="brand-new").exists()


def test_text_from_iotda_is_escaped(viewer: Client, inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    inventory.call(
        "PATCH",
        f"devices/{device}",
        json={"device_name": "<script>x</script>", "tags": [["<i>", "<u>"]]},
    )
    inventory.process.holds_impossible_values = True
    text = page(viewer, device).text
    assert "<script>x" not in text
    assert "<i>" not in text


def test_the_page_of_a_device_shows_its_history(
    operator: Client, inventory: Cloud
) -> None:
    device = inventory.known_ids["online"]
    operator.post(f"/devices/{device}/freeze/", change_form())
    text = page(operator, device).text
    assert all(words in text for words in ("billing dispute", "INC-1", "/operations/"))


@pytest.mark.parametrize("role", ["viewer", "operator", "policy admin", "auditor"])
def test_the_history_names_the_actor_reason_ticket_and_outcome_to_every_role(
    admin: Client, role: str, inventory: Cloud
) -> None:
    device = inventory.known_ids["online"]
    admin.post(f"/devices/{device}/freeze/", change_form())
    client = signed_in(role)
    history = page(client, device).text.partition('id="history"')[2]
    for words in ("Freeze", "Done", "admin", "billing dispute", "INC-1"):
        assert words in history
    (url,) = re.findall(r'<a href="(/operations/\d+/)">OP-', history)
    assert client.get(url).status_code == 200
    assert ("/audit/" in history) == (role == "auditor")


def test_the_policies_show_through_which_target_they_apply(
    viewer: Client, inventory: Cloud
) -> None:
    device = Device.objects.get(pk=inventory.known_ids["free"][0])
    policy = inventory.known_ids["policy"]
    Binding.objects.create(
        policy_id=policy, target_type="product", target_id=device.product_id
    )
    response = viewer.get(f"/policies/of.device/{device.pk}/")
    assert "Its product" in response.text
    assert f"/policies/{policy}/" in response.text
