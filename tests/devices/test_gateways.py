"""Gateways and the devices behind them: on their page, and before a change."""

import re

import pytest
from django.test import Client

from devices.models import Device
from iotda_admin.access.models import Grant
from tests.cloud import Cloud
from tests.conftest import make_user


@pytest.fixture
def gateway(inventory: Cloud) -> Device:
    """Return a gateway with four devices behind it, whatever it had before."""
    child = Device.objects.get(pk=inventory.known_ids["child"])
    gateway = Device.objects.get(pk=child.gateway_id)
    Device.objects.filter(gateway_id=gateway.pk).exclude(pk=gateway.pk).delete()
    for number in range(4):
        child.pk, child.name = f"child-{number}", f"Sensor {number}"
        child.save(force_insert=True)
    return gateway


def behind(text: str) -> list[str]:
    section = text.partition('id="behind-title"')[2].partition("</section>")[0]
    return re.findall(r'<a href="/devices/(child-\d)/"', section)


def test_the_page_of_a_gateway_lists_the_devices_behind_it(
    viewer: Client, gateway: Device, inventory: Cloud
) -> None:
    text = viewer.get(f"/devices/{gateway.pk}/").text
    assert "4 devices behind it" in " ".join(text.split())
    assert behind(text) == [f"child-{number}" for number in range(4)]
    alone = inventory.known_ids["online"]
    assert "behind-title" not in viewer.get(f"/devices/{alone}/").text


def test_only_devices_of_the_users_spaces_are_listed(
    client: Client, gateway: Device
) -> None:
    user = make_user("viewer", gateway.app_id)
    assert Grant.objects.get(user=user).app_id == gateway.app_id
    Device.objects.filter(pk="child-1").update(app_id="elsewhere")
    client.force_login(user)
    text = client.get(f"/devices/{gateway.pk}/").text
    assert behind(text) == ["child-0", "child-2", "child-3"]
    assert "3 devices behind it" in " ".join(text.split())


def test_a_freeze_says_how_many_devices_lose_their_connection(
    operator: Client, gateway: Device, inventory: Cloud
) -> None:
    sentence = "4 devices behind it lose their connection."
    assert sentence in operator.get(f"/devices/{gateway.pk}/freeze/").text
    alone = inventory.known_ids["online"]
    assert "lose their" not in operator.get(f"/devices/{alone}/freeze/").text


def test_so_does_a_freeze_of_several(
    operator: Client, gateway: Device, inventory: Cloud
) -> None:
    alone = inventory.known_ids["online"]
    form = {"target": [gateway.pk, alone]}
    text = operator.post("/devices/selection.freeze/", form).text
    assert "4 devices behind them lose their connection." in text
    text = operator.post("/devices/selection.freeze/", {"target": [alone]}).text
    assert "behind them" not in text


def test_deleting_says_that_iotda_refuses_it(
    policyadmin: Client, gateway: Device
) -> None:
    words = "IoTDA refuses to delete a gateway with devices behind it: 4 devices."
    assert words in policyadmin.get(f"/devices/{gateway.pk}/delete/").text
    together = [gateway.pk, *(f"child-{number}" for number in range(4))]
    form = {"target": together}
    text = policyadmin.post("/devices/selection.delete/", form).text
    # The gateway may be the first that is sent.
    assert words in text


def test_unfreezing_says_nothing_about_them(operator: Client, gateway: Device) -> None:
    assert "behind it" not in operator.get(f"/devices/{gateway.pk}/unfreeze/").text
