"""Before a policy is bound: what will change, what is already so, what cannot and why."""

import csv
import io
from typing import Any

import pytest
from django.test import Client

from devices.models import Device
from iotda_admin.operations.models import Operation
from tests.cloud import Cloud
from tests.operation_helpers import bind_form, target_states

BIND = "/policies/selection.bind/"


@pytest.fixture
def mixed(policyadmin: Client, inventory: Cloud) -> dict[str, str]:
    """Return one device for each list, by the name or reason of the list."""
    change, already, busy = inventory.free(3)
    known = inventory.known_ids
    policyadmin.post(BIND, bind_form(known["policy"], already, key="d" * 32))
    inventory.fault("BindDevicePolicy", "throttle", retry_after=60)
    policyadmin.post(BIND, bind_form(known["policy"], busy, key="e" * 32))
    ids = {"change": change, "already": already, "busy": busy, "full": known["full"]}
    return {**ids, "unknown": "not-yet-synced"}


def section(text: str, name: str) -> str:
    """Return the part of the page that lists these targets."""
    return text.partition(f'id="list-{name}"')[2].partition("</details>")[0]


def form_of(inventory: Cloud, mixed: dict[str, str], **more: Any) -> dict[str, Any]:
    pasted = "\n".join(mixed.values())
    return bind_form(inventory.known_ids["policy"], pasted=pasted, **more)


def test_every_target_is_named_in_one_list(
    policyadmin: Client, inventory: Cloud, mixed: dict[str, str]
) -> None:
    text = policyadmin.post(BIND, form_of(inventory, mixed, act="check")).text
    for name in ("change", "already", "unknown"):
        assert f"<code>{mixed[name]}</code>" in section(text, name)
    busy = Operation.objects.latest("pk")
    for name, why in (
        ("full", "has its five policies already"),
        ("busy", f"{busy} by policyadmin is changing it now"),
    ):
        assert f"<code>{mixed[name]}</code>" in section(text, "cannot")
        assert why in section(text, "cannot")
    assert "2 cannot change" in text


def test_each_list_is_downloaded_as_csv(
    policyadmin: Client, inventory: Cloud, mixed: dict[str, str]
) -> None:
    def download(name: str) -> list[list[str]]:
        response = policyadmin.post(BIND, form_of(inventory, mixed, csv=name))
        text = b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
        return list(csv.reader(io.StringIO(text)))[1:]

    device = Device.objects.get(pk=mixed["change"])
    assert download("change") == [[device.pk, device.name, device.status, ""]]
    assert [row[0] for row in download("already")] == [mixed["already"]]
    assert [row[0] for row in download("unknown")] == [mixed["unknown"]]
    assert {row[0] for row in download("cannot")} == {mixed["full"], mixed["busy"]}


def test_nothing_is_bound_before_the_page_has_shown_what_cannot_change(
    policyadmin: Client, inventory: Cloud, mixed: dict[str, str]
) -> None:
    del mixed["busy"]
    before = Operation.objects.count()
    response = policyadmin.post(BIND, form_of(inventory, mixed, checked=""))
    assert response.status_code == 409
    assert "Check the lists" in response.text
    assert Operation.objects.count() == before
    shown = response.context["selection"].digest
    assert f'name="checked" value="{shown}"' in response.text
    inventory.call("DELETE", "faults")
    policyadmin.post(BIND, form_of(inventory, mixed, checked=shown))
    assert set(target_states(Operation.objects.latest("pk"))) == set(mixed.values())


def test_those_that_cannot_change_can_be_left_out(
    policyadmin: Client, inventory: Cloud, mixed: dict[str, str]
) -> None:
    form = form_of(inventory, mixed, act="leave_out:cannot")
    form["target"] = [mixed["full"]]
    text = policyadmin.post(BIND, form).text
    assert mixed["full"] not in text
    assert mixed["busy"] not in text
    assert "3 targets" in text
    text = policyadmin.post(BIND, form | {"act": "leave_out:unknown"}).text
    assert mixed["unknown"] not in text
    assert mixed["full"] in text


def test_the_targets_of_an_unbind_are_listed_and_can_be_left_out(
    policyadmin: Client, inventory: Cloud, mixed: dict[str, str]
) -> None:
    path = f"/policies/{inventory.known_ids['policy']}/unbind/"
    form = {"target_type": "device", "target": list(mixed.values())}
    text = policyadmin.post(path, form).text
    for name, device in (
        ("change", "already"),
        ("already", "change"),
        ("cannot", "busy"),
        ("unknown", "unknown"),
    ):
        assert f"<code>{mixed[device]}</code>" in section(text, name)
    response = policyadmin.post(path, {**form, "csv": "cannot"})
    file = b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    assert mixed["busy"] in file
    more = {"act": "leave_out:cannot", "key": "f" * 32, "reason": "over"}
    text = policyadmin.post(path, form | more).text
    assert mixed["busy"] not in text
    assert f'name="target" value="{mixed["already"]}"' in text
    assert Operation.objects.count() == 2
