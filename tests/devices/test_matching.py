"""A change of all devices of a filter, and the filtered list as CSV."""

import csv
import io
import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from devices.models import Device
from iotda_admin.access.models import Grant
from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Operation
from policies.models import Binding
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import (
    bind_form,
    change_form,
    run_workers,
    write_requests,
)

SELECT = "/devices/selection.freeze/"
MANY = 700


def fields_of(text: str, form: str) -> dict[str, Any]:
    """Return the targets that the form of a page sends."""
    html = text.partition(f'id="{form}"')[2].partition("</form>")[0]
    pasted = re.findall(r'name="pasted" value="([^"]*)"', html)
    targets = re.findall(r'name="target" value="([^"]*)"', html)
    return {"pasted": pasted[0]} if pasted else {"target": targets}


@pytest.fixture
def many(inventory: Cloud) -> set[str]:
    """Return the IDs of 700 direct devices of one product."""
    example = Device.objects.get(pk=inventory.known_ids["online"])
    Device.objects.bulk_create(
        Device(
            device_id=f"device-{n}",
            node_id=f"node-{n}",
            name=f"Herd {n}",
            status="OFFLINE",
            node_type="GATEWAY",
            product_id=example.product_id,
            app_id=example.app_id,
        )
        for n in range(MANY)
    )
    return {f"device-{n}" for n in range(MANY)}


def test_all_devices_of_a_filter_are_changed_by_one_operation(
    operator: Client, inventory: Cloud, many: set[str], settings: Settings
) -> None:
    """Exactly the list that the page has named, though devices join and leave."""
    page = operator.post(SELECT, {"matching": "q=herd&status=OFFLINE"}).text
    assert f"Freeze {MANY} devices" in page
    fields = fields_of(page, "selection")
    Device.objects.filter(pk="device-1").update(status="ONLINE")
    joined = Device.objects.get(pk="device-2")
    joined.pk, joined.node_id = "device-late", "node-late"
    joined.save(force_insert=True)
    response = operator.post(SELECT, change_form(**fields))
    assert response.status_code == 302
    run_workers()
    operation = Operation.objects.get()
    assert set(operation.targets.values_list("target_id", flat=True)) == many
    sent = [id for entry in write_requests(inventory) for id in entry["target_ids"]]
    assert sorted(sent) == sorted(many)


def test_only_a_filter_of_the_users_spaces_counts(
    client: Client, inventory: Cloud, many: set[str]
) -> None:
    user = make_user("operator", inventory.known_ids["other_space"])
    assert not Grant.objects.filter(user=user, app_id="*").exists()
    client.force_login(user)
    text = client.post(SELECT, {"matching": "q=herd"}).text
    assert "Nothing to change" in text
    assert "Herd" not in text


@pytest.mark.parametrize("query", ["status=MELTED", "q=no-such-device", "q=%00"])
def test_a_filter_that_finds_nothing_changes_nothing(
    operator: Client, inventory: Cloud, query: str
) -> None:
    response = operator.post(SELECT, {"matching": query})
    assert response.status_code == 200
    assert fields_of(response.text, "selection") == {"target": []}


def test_ticked_devices_do_not_count_beside_the_filter(
    operator: Client, inventory: Cloud, many: set[str]
) -> None:
    ticked = inventory.known_ids["online"]
    form = {"matching": "q=herd+69", "target": [ticked]}
    page = operator.post(SELECT, form).text
    fields = fields_of(page, "selection")
    assert ticked not in fields["target"]
    assert set(fields["target"]) == {id for id in many if "69" in id}


def test_more_than_one_operation_may_have_are_refused(
    operator: Client, inventory: Cloud, many: set[str], settings: Settings
) -> None:
    settings.TARGETS_LIMIT = MANY - 1
    response = operator.post(SELECT, {"matching": "q=herd"})
    assert response.status_code == 413
    assert "more than 699 IDs" in response.text
    assert not Operation.objects.exists()


def test_ids_that_cannot_be_sent_do_not_hide_that_there_are_too_many(
    operator: Client, inventory: Cloud, many: set[str], settings: Settings
) -> None:
    Device.objects.filter(pk="device-0").update(device_id="device.0")
    settings.TARGETS_LIMIT = MANY - 2
    response = operator.post(SELECT, {"matching": "q=herd"})
    assert response.status_code == 413


def test_a_device_that_cannot_be_chosen_is_left_out(
    operator: Client, inventory: Cloud, many: set[str]
) -> None:
    Device.objects.filter(pk="device-7").update(device_id="device.7")
    page = operator.post(SELECT, {"matching": "q=herd"}).text
    assert f"Freeze {MANY - 1} devices" in page


def test_a_policy_is_bound_to_all_devices_of_a_filter(
    policyadmin: Client, inventory: Cloud, many: set[str]
) -> None:
    bind = "/policies/selection.bind/"
    page = policyadmin.post(bind, {"matching": "q=herd"}).text
    ids = re.search(r"<textarea[^>]*>([^<]*)</textarea>", page)[1].split()
    assert set(ids) == many
    pasted, policy = "\n".join(ids), inventory.known_ids["other_policy"]
    form = bind_form(policy, pasted=pasted, other_space="on")
    assert policyadmin.post(bind, form).status_code == 302
    operation = Operation.objects.get()
    assert set(operation.targets.values_list("target_id", flat=True)) == many
    assert not Binding.objects.filter(target_id="device-late").exists()


def test_the_box_for_all_is_offered_only_if_there_are_more_pages(
    operator: Client, inventory: Cloud, many: set[str]
) -> None:
    text = operator.get("/devices/?q=herd&status=OFFLINE").text
    assert 'name="matching" value="q=herd&amp;status=OFFLINE"' in text
    assert "All 700 of the list" in " ".join(text.split())
    assert 'name="matching"' not in operator.get("/devices/?q=herd+699").text


def rows_of(response: Any) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_the_csv_file_has_the_filtered_devices(
    viewer: Client, inventory: Cloud, many: set[str]
) -> None:
    rows = rows_of(viewer.get("/devices/devices.csv?q=herd&status=OFFLINE"))
    assert {row["device_id"] for row in rows} == many
    assert rows[0]["node_id"] == rows[0]["device_id"].replace("device", "node")
    assert {row["status"] for row in rows} == {"OFFLINE"}
    event = Event.objects.get(kind="export")
    assert event.detail["filters"] == {"q": "herd", "status": "OFFLINE"}
    everything = rows_of(viewer.get("/devices/devices.csv"))
    assert len(everything) == Device.objects.count()


def test_the_csv_file_has_only_devices_of_the_users_spaces(
    client: Client, inventory: Cloud, many: set[str]
) -> None:
    client.force_login(make_user("viewer", inventory.known_ids["other_space"]))
    rows = rows_of(client.get("/devices/devices.csv"))
    assert rows
    assert {row["app_id"] for row in rows} == {inventory.known_ids["other_space"]}
