"""Every headline names a single target, and how many devices a product or space has."""

import re
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from devices.models import Device, Product, Space
from iotda_admin.audit.models import Event
from iotda_admin.operations.cli.utility import Utility
from iotda_admin.operations.models import Operation
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import bind_form, change_form


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", html)).replace(" ,", ",")


@pytest.fixture
def space(inventory: Cloud) -> Space:
    return Space.objects.get(pk=inventory.known_ids["space"])


@pytest.fixture
def headline(space: Space) -> str:
    """The words for the whole space."""
    count = Device.objects.filter(app_id=space.pk).count()
    assert count > 1
    return f"resource space {space.name} ({count:,} devices)"


@pytest.fixture
def bound(admin: Client, inventory: Cloud, space: Space) -> Operation:
    """A bind of the whole space, asked for on the page."""
    policy = inventory.known_ids["policy"]
    about = {"target_type": "app", "space_name": space.name}
    admin.post("/policies/selection.bind/", bind_form(policy, space.pk, **about))
    return Operation.objects.get()


def test_every_page_names_the_space_with_its_number_of_devices(
    admin: Client, bound: Operation, headline: str, space: Space
) -> None:
    device = Device.objects.filter(app_id=space.pk).first()
    assert device
    for url in (
        "/",
        "/operations/",
        bound.get_absolute_url(),
        f"{bound.get_absolute_url()}targets/",
        f"/devices/{device.pk}/",
        f"/policies/{bound.policy_id}/",
    ):
        assert headline in text_of(admin.get(url).text), url


def test_the_ticket_text_names_the_space(
    admin: Client, bound: Operation, headline: str, space: Space
) -> None:
    headline = headline.replace(space.name, f"{space.name} ({space.pk})")
    page = admin.get(bound.get_absolute_url()).text
    text = page.partition('id="ticket-text"')[2].partition("</pre>")[0]
    assert f"{bound}: Bind {bound.policy_name}, {headline}" in text


def test_each_event_of_the_trail_names_the_space(
    bound: Operation, headline: str
) -> None:
    summaries = set(
        Event.objects.filter(operation=bound.pk).values_list("summary", flat=True)
    )
    assert summaries == {f"bind {bound.policy_name} to {headline}"}


def test_the_number_is_that_of_the_request(
    admin: Client, bound: Operation, headline: str, space: Space
) -> None:
    Device.objects.filter(app_id=space.pk).delete()
    assert headline in text_of(admin.get(bound.get_absolute_url()).text)


def test_the_command_line_names_the_space(
    inventory: Cloud, space: Space, headline: str, capsys: pytest.CaptureFixture[str]
) -> None:
    about: dict[str, Any] = {
        "policy": inventory.known_ids["policy"],
        "target_type": "app",
        "confirm_space": space.name,
        "reason": "leaks data",
        "ticket": "INC-42",
    }
    with pytest.raises(SystemExit):
        call_command(Utility([]).fetch_command("bind"), space.pk, **about)
    operation = Operation.objects.get()
    change = f"bind {operation.policy_name} to {headline}"
    assert capsys.readouterr().out == f"{operation} {change}: 1 bound\n"


def test_products_are_counted_with_their_devices(
    admin: Client, inventory: Cloud
) -> None:
    space = inventory.known_ids["space"]
    products = list(Product.objects.filter(app_id=space)[:2])
    ids = [product.pk for product in products]
    devices = Device.objects.filter(product_id__in=ids).count()
    form = bind_form(inventory.known_ids["policy"], *ids, target_type="product")
    admin.post("/policies/selection.bind/", form)
    operation = Operation.objects.get()
    words = f"2 products ({devices:,} devices)"
    assert words in text_of(admin.get(operation.get_absolute_url()).text)
    ended = Event.objects.get(operation=operation.pk, kind="operation.ended")
    assert ended.summary == f"bind {operation.policy_name} to {words}"


def test_a_single_device_is_named_and_several_are_counted(
    admin: Client, inventory: Cloud
) -> None:
    first, *rest = inventory.free(3)
    name = Device.objects.get(pk=first).name
    admin.post(f"/devices/{first}/freeze/", change_form())
    form = change_form(target=rest, key="e" * 32)
    admin.post("/devices/selection.freeze/", form)
    text = text_of(admin.get("/operations/").text)
    assert f"Freeze, device {name}" in text
    assert "Freeze, 2 devices" in text


def test_a_device_shows_a_bind_of_its_space_to_a_viewer_of_the_space(
    bound: Operation, headline: str, space: Space
) -> None:
    device = Device.objects.filter(app_id=space.pk).first()
    assert device
    viewer = Client()
    viewer.force_login(make_user("viewer", space.pk))
    history = viewer.get(f"/devices/{device.pk}/").text.partition('id="history"')[2]
    assert headline in text_of(history)
    assert "billing dispute" in history
