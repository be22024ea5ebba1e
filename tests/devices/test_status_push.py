"""What IoTDA's data forwarding sends is stored, and nothing false by it."""

import json
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from devices.models import Device
from devices.status_push import Unusable, read_message
from devices.sync import Devices
from iotda_admin.access.actor import Actor
from iotda_admin.audit.models import Event
from iotda_admin.operations.execution.executor import execute_due_chunks
from iotda_admin.rate.connection import client as iotda
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import create

SECRET = "a-secret-of-32-letters-and-digits"
ADDRESS = f"/devices/status.push/?secret={SECRET}"


@pytest.fixture(autouse=True)
def secret(settings: Settings) -> None:
    settings.IOTDA_PUSH_SECRET = SECRET


def later(seconds: float) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)


def message(device_id: str, status: str, at: datetime, **more: Any) -> dict[str, Any]:
    return {
        "resource": "device.status",
        "event": "update",
        "event_time": f"{at:%Y%m%dT%H%M%SZ}",
        "event_time_ms": int(at.timestamp() * 1000),
        "notify_data": {
            "header": {"device_id": device_id},
            "body": {"status": status},
        },
    } | more


def deletion(device_id: str, at: datetime) -> dict[str, Any]:
    return message(device_id, "", at, resource="device", event="delete")


def push(document: object, address: str = ADDRESS) -> tuple[int, str]:
    answer = Client().post(address, json.dumps(document), "application/json")
    return answer.status_code, answer.text.strip()


def status_of(device_id: str) -> str:
    return Device.objects.get(pk=device_id).status


def drifts() -> list[Any]:
    events = Event.objects.filter(kind=Event.Kind.DRIFT).order_by("pk")
    return [event.detail for event in events]


def test_without_the_setting_there_is_no_such_address(
    inventory: Cloud, settings: Settings
) -> None:
    settings.IOTDA_PUSH_SECRET = ""
    for address in (ADDRESS, "/devices/status.push/?secret=", "/devices/status.push/"):
        assert push({}, address)[0] == 404


def test_a_wrong_secret_is_refused(inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    for wrong in ("", "?secret=", f"?secret={SECRET}1", "?secret=%C3%A4"):
        document = message(device, "OFFLINE", later(1))
        assert push(document, f"/devices/status.push/{wrong}")[0] == 403
    assert status_of(device) == "ONLINE"
    # Nobody can fill the trail that way.
    assert not Event.objects.exists()


def test_a_status_is_stored(inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    at = later(1)
    assert push(message(device, "OFFLINE", at)) == (200, "stored")
    row = Device.objects.get(pk=device)
    assert row.status == "OFFLINE"
    assert abs(row.read_at - at) < timedelta(milliseconds=1)
    assert drifts() == []


def test_the_body_may_be_beside_the_header(inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    document = message(device, "", later(1), body={"status": "ABNORMAL"})
    del document["notify_data"]["body"]
    assert push(document) == (200, "stored")
    assert status_of(device) == "ABNORMAL"


def test_a_freeze_outside_is_recorded(inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    assert push(message(device, "FREEZED", later(1))) == (200, "stored")
    assert status_of(device) == "FROZEN"
    [detail] = drifts()
    assert (detail["change"], detail["before"]) == ("frozen", "ONLINE")


def test_our_own_freeze_is_no_change_outside(inventory: Cloud) -> None:
    [device] = inventory.free(1)
    create("device.freeze", [device], Actor(make_user("operator"), "", "test"))
    execute_due_chunks(iotda())
    push(message(device, "FREEZED", later(1)))
    assert status_of(device) == "FROZEN"
    assert drifts() == []


def test_earlier_and_repeated_messages_change_nothing(inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    first, second = later(1), later(2)
    assert push(message(device, "OFFLINE", second)) == (200, "stored")
    for status, at in (("ONLINE", first), ("ONLINE", second), ("OFFLINE", second)):
        assert push(message(device, status, at)) == (200, "known already")
    assert push(deletion(device, second)) == (200, "known already")
    assert status_of(device) == "OFFLINE"


@pytest.mark.parametrize("unfrozen", [True, False])
def test_a_frozen_device_has_another_status_only_if_iotda_shows_it(
    inventory: Cloud, unfrozen: bool
) -> None:
    """The end of its connection may come after the message that it was frozen."""
    device = inventory.known_ids["frozen"]
    if unfrozen:
        inventory.call("PATCH", f"devices/{device}", json={"status": "ONLINE"})
    push(message(device, "OFFLINE", later(1)))
    assert status_of(device) == ("ONLINE" if unfrozen else "FROZEN")
    assert [each["change"] for each in drifts()] == ["unfrozen"] * unfrozen


def test_if_iotda_does_not_answer_a_frozen_device_stays_as_it_was(
    inventory: Cloud,
) -> None:
    device = inventory.known_ids["frozen"]
    inventory.fault("ShowDevice", "status", status=500)
    assert push(message(device, "ONLINE", later(1))) == (200, "not read")
    assert status_of(device) == "FROZEN"


def test_a_deleted_device_leaves_the_inventory(inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    assert push(deletion(device, later(-60))) == (200, "known already")
    assert push(deletion(device, later(1))) == (200, "deleted")
    assert not Device.objects.filter(pk=device).exists()
    assert [each["change"] for each in drifts()] == ["deleted"]
    assert push(message(device, "ONLINE", later(2))) == (200, "unknown device")


def test_a_sync_that_began_before_does_not_restore_a_deleted_device(
    inventory: Cloud,
) -> None:
    row = Device.objects.get(pk=inventory.known_ids["online"])
    push(deletion(row.pk, later(1)))
    Devices().store([row])
    assert not Device.objects.filter(pk=row.pk).exists()
    # Registered again with the same ID.
    row.read_at = later(2)
    Devices().store([row])
    assert Device.objects.filter(pk=row.pk).exists()


def test_only_a_deletion_deletes(inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    for status in ("deleted", "DELETED", ""):
        assert push(message(device, status, later(1))) == (200, "unknown status")
    assert status_of(device) == "ONLINE"


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({"resource": "product"}, "not understood"),
        ({"event": "create"}, "not understood"),
        ({"event": ["update"]}, "not understood"),
        ({"event_time": "yesterday"}, "not understood"),
        ({"event_time": None}, "not understood"),
        ({"notify_data": []}, "not understood"),
        ({"notify_data": {"header": {"device_id": 7}}}, "not understood"),
        (
            {"body": {"status": "ODD"}, "notify_data": {"header": {"device_id": "d"}}},
            "unknown status",
        ),
    ],
)
def test_what_says_nothing_is_ignored(
    inventory: Cloud, change: dict[str, Any], result: str
) -> None:
    device = inventory.known_ids["online"]
    assert push(message(device, "OFFLINE", later(1)) | change) == (200, result)
    assert status_of(device) == "ONLINE"


def test_a_message_from_the_future_is_ignored(inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    assert push(message(device, "OFFLINE", later(300))) == (200, "from the future")
    assert status_of(device) == "ONLINE"


def test_a_time_to_the_second_is_enough(inventory: Cloud) -> None:
    device, at = inventory.known_ids["online"], later(10)
    for odd in (None, "soon", -1, 10**30, True, "9" * 5000):
        document = message(device, "OFFLINE", at, event_time_ms=odd)
        found = read_message(json.dumps(document).encode())
        assert found.at == at.replace(microsecond=0)


def test_a_long_message_is_refused(inventory: Cloud) -> None:
    assert push("x" * 70_000)[0] == 413


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["header", "body", "status", "device_id", "x"]), inner
        )
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(["resource", "event", "event_time", "notify_data", "body"]),
        json_values,
    )
    | json_values,
    json_values,
)
def test_no_content_is_an_error(document: Any, status: Any) -> None:
    whole = message("d", "ONLINE", timezone.now())
    whole["notify_data"]["body"]["status"] = status
    if isinstance(document, dict):
        whole |= document
    for each in (document, whole):
        with suppress(Unusable):
            read_message(json.dumps(each).encode())
    with pytest.raises(Unusable):
        read_message(b"[" * 60_000)
