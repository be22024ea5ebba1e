"""Before devices are changed: what will change, what is already so, what cannot and why."""

import csv
import io
from typing import Any

import pytest
from django.test import Client

from devices.models import Device
from iotda_admin.operations.models import Operation
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import change_form, outcome_counts, run_workers

FREEZE = "/devices/selection.freeze/"


def rows(response: Any) -> list[list[str]]:
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))[1:]


def section(text: str, name: str) -> str:
    """Return the part of the page that lists these devices."""
    return text.partition(f'<h2 id="{name}">')[2].partition("</section>")[0]


@pytest.fixture
def mixed(operator: Client, inventory: Cloud) -> dict[str, str]:
    """Return one device for each list, by the name or reason of the list."""
    change, busy = inventory.free(2)
    inventory.fault("FreezeDevice", "throttle", retry_after=60)
    operator.post(f"/devices/{busy}/freeze/", change_form(key="e" * 32))
    known = inventory.known_ids
    ids = {"change": change, "busy": busy, "unknown": "not-yet-synced"}
    return {**ids, "already": known["frozen"], "behind": known["child"]}


def test_every_selected_device_is_named_in_one_list(
    operator: Client, mixed: dict[str, str]
) -> None:
    text = operator.post(FREEZE, {"target": list(mixed.values())}).text
    for name in ("change", "already", "unknown"):
        assert f"<code>{mixed[name]}</code>" in section(text, name)
        assert f'name="target" value="{mixed[name]}"' in text
    operation = Operation.objects.get()
    for name, why in (
        ("behind", "behind a gateway"),
        ("busy", f"{operation} by operator is changing it now"),
    ):
        assert f"<code>{mixed[name]}</code>" in section(text, "cannot")
        assert why in section(text, "cannot")
        assert f'name="target" value="{mixed[name]}"' not in text
    assert "Freeze 3 devices" in text
    assert "2 are left out" in text


def test_each_list_is_downloaded_as_csv(
    operator: Client, mixed: dict[str, str]
) -> None:
    device = Device.objects.get(pk=mixed["change"])
    everything = "\n".join(mixed.values())

    def download(name: str) -> list[list[str]]:
        return rows(operator.post(FREEZE, {"pasted": everything, "csv": name}))

    assert download("change") == [[device.pk, device.name, device.status, ""]]
    assert [row[0] for row in download("already")] == [mixed["already"]]
    assert download("unknown") == [[mixed["unknown"], "", "", ""]]
    reasons = {row[0]: row[3] for row in download("cannot")}
    assert reasons.keys() == {mixed["behind"], mixed["busy"]}
    assert reasons[mixed["behind"]] == "behind a gateway"
    response = operator.post(FREEZE, {"pasted": everything, "csv": "other"})
    assert response.status_code == 404


def test_it_goes_on_with_those_that_can_change(
    operator: Client, inventory: Cloud, mixed: dict[str, str]
) -> None:
    page = operator.post(FREEZE, change_form(target=list(mixed.values())))
    assert page.status_code == 409
    sent = [mixed["change"], mixed["already"], mixed["unknown"]]
    operator.post(FREEZE, change_form(target=sent))
    inventory.call("DELETE", "faults")
    run_workers()
    assert outcome_counts(Operation.objects.latest("pk")) == {
        "ok": 1,
        "already": 1,
        "failed": 1,
    }


def test_unknown_devices_can_be_left_out(
    operator: Client, mixed: dict[str, str]
) -> None:
    form = change_form(target=[mixed["change"], mixed["unknown"]])
    response = operator.post(FREEZE, {**form, "leave_out": "unknown"})
    assert response.status_code == 200
    assert "Freeze 1 device" in response.text
    assert mixed["unknown"] not in response.text
    assert 'value="billing dispute"' in response.text
    assert Operation.objects.count() == 1


def test_devices_of_other_spaces_are_listed_without_their_names(
    inventory: Cloud,
) -> None:
    mine, theirs = inventory.free(2)
    Device.objects.filter(pk=theirs).update(app_id="elsewhere", name="Secret pump")
    client = Client()
    client.force_login(make_user("operator", Device.objects.get(pk=mine).app_id))
    response = client.post(FREEZE, {"target": [mine, theirs, "nowhere"]})
    assert response.status_code == 403
    listed = section(response.text, "cannot")
    assert listed.count("not in your resource spaces") == 2
    assert "Secret pump" not in response.text
    found = rows(client.post(FREEZE, {"target": [mine, theirs], "csv": "cannot"}))
    assert found == [[theirs, "", "", "not in your resource spaces"]]
