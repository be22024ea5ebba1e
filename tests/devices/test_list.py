"""Finding devices: filters and pages."""

import re
from itertools import chain
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices.models import Device
from iotda_admin.inventory.models import SyncRun
from tests.cloud import Cloud
from tests.conftest import HTMX


def shown(response: Any) -> Any:
    return re.findall(r'<tr id="device-([^"]+)"', response.text)


def find(client: Any, **query: Any) -> Any:
    response = client.get("/devices/", query)
    assert response.status_code == 200
    return shown(response)


@pytest.mark.parametrize("field", ["device_id", "node_id", "name"])
def test_a_device_is_found_by_its_names(
    viewer: Client, inventory: Cloud, field: str
) -> None:
    device = Device.objects.get(pk=inventory.known_ids["online"])
    assert device.device_id in find(viewer, q=getattr(device, field))


def test_a_whole_id_finds_only_that_device(viewer: Client, inventory: Cloud) -> None:
    device = Device.objects.get(pk=inventory.known_ids["online"])
    assert find(viewer, q=device.device_id) == [device.device_id]
    assert find(viewer, q=f"  {device.node_id} ") == [device.device_id]


def test_the_search_matches_parts_of_names_in_any_case(
    viewer: Client, inventory: Cloud
) -> None:
    device = Device.objects.exclude(name="").first()
    part = device.name[1:6].upper()
    found = set(find(viewer, q=part))
    assert device.device_id in found
    assert found == {
        d.device_id
        for d in Device.objects.all()
        if any(
            part.lower() in text.lower() for text in (d.device_id, d.node_id, d.name)
        )
    }


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("status", "status"),
        ("product", "product_id"),
        ("space", "app_id"),
        ("node_type", "node_type"),
    ],
)
def test_a_filter_finds_its_devices(
    viewer: Client, inventory: Cloud, name: str, column: str
) -> None:
    value = getattr(Device.objects.get(pk=inventory.known_ids["child"]), column)
    expected = set(
        Device.objects.filter(**{column: value}).values_list("pk", flat=True)[:50]
    )
    found = find(viewer, **{name: value})
    assert expected
    assert set(found) <= set(
        Device.objects.filter(**{column: value}).values_list("pk", flat=True)
    )
    assert len(found) == len(expected)


def test_filters_are_combined(viewer: Client, inventory: Cloud) -> None:
    device = Device.objects.get(pk=inventory.known_ids["frozen"])
    found = find(viewer, status="FROZEN", space=device.app_id)
    assert device.pk in found
    assert set(found) == {
        d.pk for d in Device.objects.filter(status="FROZEN", app_id=device.app_id)
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "MELTED"), ("product", "nope"), ("space", "' OR 1=1 --"), ("node_type", "<b>x</b>"),
        ("status", "ONLINE\0"), ("q", "a\0b"), ("q", "x" * 257),
    ],
)  # fmt: skip
def test_an_invalid_filter_finds_nothing_and_says_so(
    viewer: Client, inventory: Cloud, name: str, value: str
) -> None:
    response = viewer.get("/devices/", {name: value})
    assert response.status_code == 200
    assert "This filter finds nothing." in response.text
    assert not shown(response)


@pytest.mark.parametrize("text", ["%", "_", "'", '"><script>', "\\", "..", "é"])
def test_any_text_can_be_searched_for(
    viewer: Client, inventory: Cloud, text: str
) -> None:
    response = viewer.get("/devices/", {"q": text})
    expected = Device.objects.filter(name__contains=text) | Device.objects.filter(
        device_id__contains=text
    )
    assert response.status_code == 200
    assert len(shown(response)) == min(50, expected.distinct().count())
    assert "<script>" not in response.text.replace("<script src", "")


def walk(client: Any, url: Any, rel: Any) -> tuple[Any, ...]:
    """Every row on the way, from a page on to the last that it leads to."""
    rows = []
    while url:
        response = client.get(url)
        rows.append(shown(response))
        link = re.search(rf'href="([^"]+)" rel="{rel}"', response.text)
        url = "/devices/" + link[1].replace("&amp;", "&") if link else ""
        last = response.request["QUERY_STRING"]
    return rows, f"/devices/?{last}"


@pytest.fixture
def crowd(db: None) -> None:
    Device.objects.bulk_create(
        Device(
            device_id=f"d-{n:04}",
            node_id=f"n{n}",
            gateway_id=f"d-{n:04}",
            status="ONLINE",
        )
        for n in range(120)
    )


@pytest.mark.parametrize("query", ["?", "?status=ONLINE&"])
def test_paging_forwards_and_backwards_shows_each_row_once(
    viewer: Client, crowd: None, query: str
) -> None:
    forth, last = walk(viewer, f"/devices/{query}", "next")
    back, _first = walk(viewer, last, "prev")
    assert [len(rows) for rows in forth] == [50, 50, 20]
    assert list(chain.from_iterable(forth)) == [f"d-{n:04}" for n in range(120)]
    assert back == forth[::-1]


@pytest.mark.parametrize("edge", ["after", "before"])
@pytest.mark.parametrize(
    "key", ["", "nonsense", "~", "!", "\0", "9" * 40, "'", "\ud7ff", "d-0060\n"]
)
def test_an_invalid_page_key_still_shows_rows(
    viewer: Client, crowd: None, edge: str, key: str
) -> None:
    assert find(viewer, **{edge: key})


def test_an_htmx_request_gets_only_the_list(viewer: Client, crowd: None) -> None:
    response = viewer.get("/devices/", headers=HTMX)
    assert "<html" not in response.text
    assert len(shown(response)) == 50
    assert "HX-Request" in response.headers["Vary"]


def test_the_number_of_queries_does_not_depend_on_the_rows(
    admin: Client, crowd: None
) -> None:
    counts = {}
    for devices in (120, 60):
        Device.objects.filter(pk__gte=f"d-{devices:04}").delete()
        with CaptureQueriesContext(connection) as queries:
            assert len(find(admin)) == min(50, devices)
        counts[devices] = len(queries)
    assert counts[120] == counts[60] < 20


def test_the_list_shows_how_old_the_rows_are(viewer: Client, crowd: None) -> None:
    assert "has not been synced yet" in viewer.get("/devices/").text
    SyncRun.objects.create(
        state="done", started_at="2026-01-01T00:00Z", finished_at="2026-01-01T00:00Z"
    )
    assert "Inventory synced" in viewer.get("/devices/").text
    assert "ago" in viewer.get("/devices/").text


def test_a_device_with_an_unknown_gateway_is_listed(operator: Client, db: None) -> None:
    Device.objects.create(
        device_id="d1", node_id="n1", node_type="UNKNOWN", status="ONLINE"
    )
    assert find(operator) == ["d1"]
