"""Who froze a device, since when and why."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from devices.models import Device
from devices.sync import read_device
from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Target
from iotda_admin.rate.connection import client as iotda
from tests.cloud import Cloud
from tests.conftest import signed_in
from tests.operation_helpers import change_form


@pytest.fixture
def device(inventory: Cloud) -> str:
    return str(inventory.known_ids["online"])


def change(verb: str, device: str, **form: Any) -> Client:
    client = signed_in("operator") if verb == "freeze" else form.pop("by")
    url = f"/devices/{device}/{verb}/"
    assert client.post(url, change_form(**form)).status_code == 302
    return client


def row_of(client: Client, device: str) -> str:
    text = client.get("/devices/", {"q": device}).text
    return text.partition(f'<tr id="device-{device}">')[2].partition("</tr>")[0]


def head_of(client: Client, device: str) -> str:
    text = client.get(f"/devices/{device}/").text
    return " ".join(text.partition('id="frozen"')[2].partition("</div>")[0].split())


def file_row(client: Client, device: str) -> dict[str, str]:
    response: Any = client.get("/devices/devices.csv", {"q": device})
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(text))
    return row


def test_the_list_the_page_and_the_file_say_who_froze_it_and_why(device: str) -> None:
    client = change("freeze", device, reason="<b>unpaid</b>", ticket="INC-9")
    operation = Target.objects.get().operation
    assert f"operator, {timezone.now():%Y-%m-%d}, INC-9" in row_of(client, device)
    head = head_of(client, device)
    assert "Frozen by operator" in head
    assert "&lt;b&gt;unpaid&lt;/b&gt;" in head
    assert "INC-9" in head
    assert f">{operation}</a>" in head
    row = file_row(client, device)
    assert (row["frozen_by"], row["frozen_reason"], row["frozen_ticket"]) == (
        "operator",
        "<b>unpaid</b>",
        "INC-9",
    )
    assert row["frozen_operation"] == str(operation)


def test_an_unfrozen_device_says_nothing(device: str) -> None:
    client = change("freeze", device)
    change("unfreeze", device, by=client, key="2" * 32)
    assert "operator," not in row_of(client, device)
    assert head_of(client, device) == ""
    assert file_row(client, device)["frozen_since"] == ""


def test_a_device_that_was_frozen_outside_says_so(
    device: str, inventory: Cloud, viewer: Client
) -> None:
    """Also if an operation of ours had frozen it before."""
    client = change("freeze", device)
    change("unfreeze", device, by=client, key="2" * 32)
    # An operation that was just done explains a change.
    Target.objects.update(settled_at=timezone.now() - timedelta(hours=1))
    inventory.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    read_device(iotda(), device)
    assert Event.objects.filter(kind="drift").exists()
    assert "outside IoTDA Admin, " in row_of(viewer, device)
    assert "Frozen outside IoTDA Admin" in head_of(viewer, device)
    row = file_row(viewer, device)
    assert (row["frozen_by"], bool(row["frozen_since"])) == ("", True)


def test_a_freeze_that_found_it_frozen_does_not_count(
    inventory: Cloud, viewer: Client
) -> None:
    frozen = inventory.known_ids["frozen"]
    change("freeze", frozen)
    assert Target.objects.get().state == Target.State.ALREADY
    assert Device.objects.get(pk=frozen).status == "FROZEN"
    assert "operator" not in row_of(viewer, frozen)
    assert head_of(viewer, frozen) == ""


def test_a_device_that_an_operation_unfroze_names_nobody(
    device: str, viewer: Client
) -> None:
    """It was frozen outside before a sync has seen it unfrozen."""
    client = change("freeze", device)
    change("unfreeze", device, by=client, key="2" * 32)
    Device.objects.filter(pk=device).update(status="FROZEN")
    assert "operator" not in row_of(viewer, device)
    assert head_of(viewer, device) == ""


def test_a_freeze_before_the_archived_events_names_nobody(
    device: str, viewer: Client
) -> None:
    change("freeze", device)
    assert "operator" in row_of(viewer, device)
    Target.objects.update(settled_at=timezone.now() - timedelta(days=400))
    assert "operator" not in row_of(viewer, device)
