"""Each combination of filters, search and order lists the same as plain Python."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import QueryDict
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices import ranges, search
from devices.finding import DeviceList, Sort
from devices.forms import FilterForm
from devices.models import Device, Product, Space
from devices.ranges import Edge, Narrowed, Number, count_devices, device_kinds
from iotda_admin.access.models import Grant
from tests.cloud import Cloud
from tests.devices.test_list import find, shown

STATUSES = ["ONLINE", "FROZEN", "", "MELTED"]
PRODUCTS, SPACES = ["p1", "p2", "p3"], ["north", "south"]
NODE_TYPES = ["GATEWAY", "ENDPOINT"]
# Not in the order of their IDs.
PRODUCT_NAMES = {"p1": "Meter", "p2": "", "p3": "gate"}
SHOWN_ORDER = {
    "status": ["ONLINE", "FROZEN", "", "MELTED"],
    "product": ["p3", "p1", "p2"],
    "space": SPACES,
}
COLUMNS = {"status": "status", "product": "product_id", "space": "app_id"}
LIMIT = 3

devices = st.lists(
    st.builds(
        Device,
        name=st.sampled_from(["", "pump a", "pump b", "valve"]),
        status=st.sampled_from(STATUSES),
        product_id=st.sampled_from(PRODUCTS),
        app_id=st.sampled_from(SPACES),
        node_type=st.sampled_from(NODE_TYPES),
    ),
    max_size=14,
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["ONLINE", "FROZEN"]),
        "product": st.sampled_from(PRODUCTS),
        "space": st.sampled_from(SPACES),
        "node_type": st.sampled_from(NODE_TYPES),
        "q": st.sampled_from(["pump", "d0", "pump b", "nothing"]),
    },
)
sorts = st.builds(Sort, st.sampled_from(["", "name", *COLUMNS]), st.booleans())


@pytest.fixture(params=[0, 2, 10_000])
def limits(request: Any, monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    """With each, other devices are few, and others are many."""
    monkeypatch.setattr(ranges, "COUNT_LIMIT", request.param)
    monkeypatch.setattr(ranges, "SEARCHED_ROWS", request.param)
    monkeypatch.setattr(ranges, "SORTED_ROWS", request.param)
    monkeypatch.setattr(ranges, "RANGES_A_QUERY", 3)
    monkeypatch.setattr(search, "FEW", request.param)


def store(rows: list[Device]) -> None:
    Device.objects.all().delete()
    for number, row in enumerate(rows):
        row.device_id, row.node_id = f"d{number:02}", f"n{number:02}"
        row.product_name = PRODUCT_NAMES[row.product_id]
    Device.objects.bulk_create(rows)
    for model, ids in ((Product, PRODUCTS), (Space, SPACES)):
        for id in ids:
            model._default_manager.get_or_create(pk=id)


def user_of(spaces: list[str] | None) -> User:
    User.objects.filter(username="reader").delete()
    user = User.objects.create(username="reader", is_superuser=spaces is None)
    Grant.objects.bulk_create(Grant(user=user, app_id=space) for space in spaces or [])
    return user


def expected(
    rows: list[Device], asked: dict[str, str], spaces: list[str] | None, sort: Sort
) -> list[str]:
    """Return the IDs in order, by reading every row."""

    def matches(row: Device) -> bool:
        text = f"{row.device_id} {row.node_id} {row.name}"
        columns = {**COLUMNS, "node_type": "node_type"}
        return (
            (spaces is None or row.app_id in spaces)
            and all(getattr(row, columns[n]) == v for n, v in asked.items() if n != "q")
            and all(word in text for word in asked.get("q", "").split())
        )

    def key(row: Device) -> tuple[Any, str]:
        if sort.name == "name":
            return row.name, row.device_id
        if not sort.name:
            return "", row.device_id
        value = getattr(row, COLUMNS[sort.name])
        return SHOWN_ORDER[sort.name].index(value), row.device_id

    found = sorted(filter(matches, rows), key=key, reverse=sort.descending)
    return [row.device_id for row in found]


def walk(listed: DeviceList, backwards: bool, edge: Edge | None) -> list[str]:
    """Return the IDs of all pages beyond an edge."""
    ids = []
    while rows := listed.fetch(edge, backwards, LIMIT):
        ids += [row.pk for row in rows]
        edge = listed.sort.read_edge(str(listed.sort.edge_of(rows[-1])))
    return ids


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
)
@given(
    rows=devices,
    asked=filters,
    spaces=st.sampled_from([None, [], ["south"], SPACES]),
    sort=sorts,
)
def test_every_filter_search_and_order_lists_what_reading_every_row_lists(
    limits: None,
    rows: list[Device],
    asked: dict[str, str],
    spaces: list[str] | None,
    sort: Sort,
) -> None:
    store(rows)
    query = QueryDict(mutable=True)
    query.update(asked)
    form = FilterForm(query, user=user_of(spaces))
    listed = DeviceList(form, sort)
    ids = expected(rows, asked, spaces, sort) if form.is_valid() else []
    assert walk(listed, False, None) == ids
    number = listed.number
    if number.more:
        assert number.count < max(len(ids), 1)
    else:
        assert number.count == len(ids)
    if ids:
        last = Device.objects.get(pk=ids[-1])
        edge = sort.read_edge(str(sort.edge_of(last)))
        assert walk(listed, True, edge) == ids[-2::-1]


def test_a_number_is_exact_up_to_its_limit(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store([Device(status=STATUSES[n % 4], product_id="p1") for n in range(8)])
    for limit, number in ((7, Number(7, more=True)), (8, Number(8)), (9, Number(8))):
        monkeypatch.setattr(ranges, "COUNT_LIMIT", limit)
        assert count_devices(Narrowed({})) == number
        assert count_devices(Narrowed({"product_id": "p1"})) == number


def test_the_page_says_that_there_are_more(
    viewer: Client, inventory: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert re.search(r"\s\d+ devices\s", viewer.get("/devices/").text)
    monkeypatch.setattr(ranges, "COUNT_LIMIT", 51)
    assert "More than 51 devices" in viewer.get("/devices/").text


@pytest.mark.parametrize("name", ["name", "status", "product", "space"])
def test_the_heading_sorts_and_keeps_the_filters(
    viewer: Client, inventory: Cloud, name: str
) -> None:
    text = viewer.get("/devices/", {"node_type": "GATEWAY", "after": "0"}).text
    assert "aria-sort" not in text
    assert f'href="?node_type=GATEWAY&amp;sort={name}"' in text
    text = viewer.get("/devices/", {"node_type": "GATEWAY", "sort": name}).text
    assert text.count("aria-sort") == text.count('aria-sort="ascending"') == 1
    assert f'href="?node_type=GATEWAY&amp;sort=-{name}"' in text
    assert f'<input type="hidden" name="sort" value="{name}">' in text
    text = viewer.get("/devices/", {"sort": f"-{name}"}).text
    assert 'aria-sort="descending"' in text
    assert f'href="?sort={name}"' in text


@pytest.mark.parametrize("name", ["name", "-name", "status", "-product", "space"])
def test_the_pages_of_a_sorted_list_show_each_device_once(
    viewer: Client, inventory: Cloud, name: str
) -> None:
    pages, url = [], f"/devices/?sort={name}"
    while url:
        response = viewer.get(url)
        pages.append(shown(response))
        link = re.search(r'href="([^"]+)" rel="next"', response.text)
        url = "/devices/" + link[1].replace("&amp;", "&") if link else ""
    ids = [id for page in pages for id in page]
    assert len(pages) > 1
    assert sorted(ids) == sorted(Device.objects.values_list("pk", flat=True))
    if name == "name":
        names = [Device.objects.get(pk=id).name for id in pages[0]]
        first = Device.objects.order_by("name", "pk").values_list("name", flat=True)
        assert names == list(first[:50])


@pytest.mark.parametrize("sort", ["", "name", "status"])
@pytest.mark.parametrize("edge", ["after", "before"])
@pytest.mark.parametrize(
    "key", ['["x"]', "[1,2]", "{", "null", "[[],[]]", '["a","b"]', "[" * 700,
            '["\\u0000","b"]', '["\\ud800","b"]']
)  # fmt: skip
def test_an_odd_page_key_of_a_sorted_list_still_shows_rows(
    viewer: Client, inventory: Cloud, sort: str, edge: str, key: str
) -> None:
    assert find(viewer, sort=sort, **{edge: key})


def test_an_unknown_order_is_that_of_the_ids(viewer: Client, inventory: Cloud) -> None:
    assert find(viewer, sort="tags") == find(viewer, sort="-") == find(viewer)


@pytest.mark.parametrize("name", ["中" * 256, "😀" * 128, '"' * 256, "\\" * 256])
def test_the_edge_of_a_page_may_be_a_long_name(name: str) -> None:
    device = Device(device_id="d" * 128, name=name)
    sort = Sort("name")
    assert sort.read_edge(sort.edge_of(device)) == Edge(name, device.pk)


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="counts SQLite's steps")
def test_the_kinds_of_more_devices_are_found_in_as_many_steps(db: None) -> None:
    kinds = [("ENDPOINT", "ONLINE"), ("GATEWAY", "FROZEN"), ("GATEWAY", "OFFLINE")]
    steps = []
    for size in (30, 300):
        Device.objects.bulk_create(
            Device(
                device_id=f"{size}-{n}",
                node_type=kinds[n % 3][0],
                status=kinds[n % 3][1],
            )
            for n in range(size)
        )
        taken: list[None] = []
        database = connection.connection
        # Called after each step of SQLite's machine.
        database.set_progress_handler(lambda taken=taken: taken.append(None), 1)
        try:
            assert device_kinds() == kinds
        finally:
            database.set_progress_handler(None, 1)
        steps.append(len(taken))
    assert steps[0] == steps[1]
