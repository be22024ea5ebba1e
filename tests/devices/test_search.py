"""The search of the devices, and the column that it compares."""

import importlib
import re
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from pytest_django import Settings

from devices.models import Device, Product, Space
from devices.sync import read_device
from iotda_admin.access.actor import Actor
from iotda_admin.core.search_text import MAX_LENGTH, normalize_text
from iotda_admin.inventory.models import SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.rate import connection
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.devices.test_list import find
from tests.operation_helpers import create, make_iotda_unreachable

UMLAUT, CYRILLIC = "Überdruckventil Süd", "Насос Северный"
COMBINING, NO_BREAK = "Cafe\u0301 Pumpe", "North\u00a0Gate 4"
WIDE, SIGNS = "Ｐｕｍｐ　９", '100% load_test \\ o\'Brien "q"'
NAMES = {
    "s-umlaut": UMLAUT,
    "s-cyrillic": CYRILLIC,
    "s-combining": COMBINING,
    "s-no-break": NO_BREAK,
    "s-wide": WIDE,
    "P_meter-a1": "",
    "s-signs": SIGNS,
    "s-turkish": "İstanbul İzmir",
    "s-street": "Hauptstraße – “Mitte”",
    "s-emoji": "Pump ⚙\ufe0f hall",
}


def register(cloud: Cloud, device_id: str, name: str) -> None:
    product, node = cloud.known_ids["product"], f"node-of-{device_id}"
    body = {"device_id": device_id, "node_id": node, "product_id": product}
    cloud.call("POST", "devices", json=body | {"device_name": name})


@pytest.fixture
def named(inventory: Cloud) -> Cloud:
    for device_id, name in NAMES.items():
        register(inventory, device_id, name)
        read_device(connection.client(), device_id)
    return inventory


@pytest.mark.parametrize(
    ("typed", "device_id"),
    [
        ("überdruck", "s-umlaut"),
        ("SÜD", "s-umlaut"),
        ("U\u0308BERDRUCK", "s-umlaut"),
        ("süd über", "s-umlaut"),
        ("  überdruckventil   süd  ", "s-umlaut"),
        ("насос", "s-cyrillic"),
        ("СЕВЕРНЫЙ насос", "s-cyrillic"),
        ("Caf\u00e9", "s-combining"),
        ("cafe\u0301 pumpe", "s-combining"),
        ("North Gate", "s-no-break"),
        ("gate  north", "s-no-break"),
        ("North\u00a0Gate", "s-no-break"),
        ("gate s-no-break", "s-no-break"),
        ("Pump 9", "s-wide"),
        ("ｐｕｍｐ　９", "s-wide"),
        ("P_meter-a1\u200b", "P_meter-a1"),
        ("\ufeffP_met\u00ader-a1", "P_meter-a1"),
        ('"P_meter-a1"', "P_meter-a1"),
        ("“p_METER-a1”,", "P_meter-a1"),
        ("node-of-p_meter-A1", "P_meter-a1"),
        ("100%", "s-signs"),
        ("load_test", "s-signs"),
        ("\\ o'", "s-signs"),
        ("o'Brien", "s-signs"),
        ("o’brien", "s-signs"),
        ('"q"', "s-signs"),
        ("istanbul", "s-turkish"),
        ("HAUPTSTRASSE mitte", "s-street"),
        ("- “mitte”", "s-street"),
        ("pump ⚙ hall", "s-emoji"),
    ],
)
def test_what_is_typed_finds_the_device(
    viewer: Client, named: Cloud, typed: str, device_id: str
) -> None:
    assert NAMES.keys() & find(viewer, q=typed) == {device_id}


@pytest.mark.parametrize(
    "typed", ["überdruck nord", "Gate 4 9", "lo%test", "load.test"]
)
def test_every_word_must_be_in_the_device(
    viewer: Client, named: Cloud, typed: str
) -> None:
    assert not NAMES.keys() & find(viewer, q=typed)


@pytest.mark.parametrize("typed", ["\u202e", "\u200b\ufeff", " \u00a0 "])
def test_what_nobody_sees_is_no_search(
    viewer: Client, named: Cloud, typed: str
) -> None:
    assert len(find(viewer, q=typed)) == 50
    assert "Filtered by" not in viewer.get("/devices/", {"q": typed}).text


def test_a_sync_renames_what_the_search_finds(viewer: Client, named: Cloud) -> None:
    renamed = {"device_name": "ЗАПАДНЫЙ насос"}
    named.call("PATCH", "devices/s-cyrillic", json=renamed)
    space, product = named.known_ids["space"], named.known_ids["product"]
    named.call("PATCH", f"spaces/{space}", json={"name": "Süd"})
    named.call("PATCH", f"products/{product}", json={"name": "Ｍeter"})
    named.process.holds_impossible_values = True
    assert run_sync(SyncRun.objects.create(), connection.client())
    assert find(viewer, q="западный") == ["s-cyrillic"]
    assert find(viewer, q="северный") == []
    assert Space.objects.get(pk=space).search_text == f"{space} süd"
    assert Product.objects.get(pk=product).search_text == f"{product} meter"


def test_the_migration_fills_the_column_of_old_rows(named: Cloud) -> None:
    models: list[Any] = [Device, Product, Space]
    filled = [dict(model.objects.values_list("pk", "search_text")) for model in models]
    for model in models:
        model.objects.update(search_text="")
    importlib.import_module("devices.migrations.0003_search_text").fill(apps, None)
    assert filled == [
        dict(model.objects.values_list("pk", "search_text")) for model in models
    ]
    assert all(filled)


def test_a_text_that_grows_when_it_is_normalized_still_fits(db: None) -> None:
    device = Device.objects.create(device_id="long", node_id="n", name="\ufdfa" * 256)
    assert len(device.search_text) == MAX_LENGTH
    device.refresh_from_db()
    assert device.search_text.startswith("long n ")


@pytest.mark.parametrize("text", ["ÅNGSTRÖM", "ﬃ ΐ", "İi̇", "ẞß", "A\u0345Α", "Ǆ ǅ"])
def test_normalized_text_stays_as_it_is(text: str) -> None:
    once = normalize_text(text)
    assert normalize_text(once) == once == normalize_text(text.upper().lower())


@pytest.mark.parametrize(
    ("target_type", "typed", "expected"),
    [
        ("device", "süd ÜBER", "s-umlaut"),
        ("device", '"P_meter-a1"', "P_meter-a1"),
        ("product", "ｇａｔｅ  ÄUSSERE", "product"),
        ("app", "hof nord", "space"),
    ],
)
def test_the_targets_of_a_policy_are_found_by_the_same_words(
    policyadmin: Client, named: Cloud, target_type: str, typed: str, expected: str
) -> None:
    target = named.known_ids.get(expected, expected)
    for model, name in ((Product, "Äußere Gate"), (Space, "Nord-Hof")):
        row = model._default_manager.filter(pk=target).first()
        if row:
            row.name = name
            row.save()
    response = policyadmin.post(
        "/policies/selection.bind/",
        {"target_type": target_type, "q": typed, "act": "find"},
    )
    assert re.findall(r'id="add-([^"]+)"', response.text) == [target]


def offered(client: Client, text: str) -> list[int]:
    """Return the numbers of the operations that the search of devices links to."""
    response = client.get("/devices/", {"q": text})
    assert response.status_code == 200
    return list(map(int, re.findall(r'href="/operations/(\d+)/"', response.text)))


@pytest.fixture
def tickets(inventory: Cloud, actor: Actor) -> list[int]:
    """Return the numbers of three operations; the last two have the ticket INC-44."""
    operations = [
        create("device.freeze", [id], actor, key=f"key {id}", ticket=ticket)
        for id, ticket in zip(
            inventory.known_ids["free"], ["", "Inc-44", "INC-44"], strict=False
        )
    ]
    return [operation.pk for operation in operations]


def test_the_number_of_an_operation_offers_it(
    viewer: Client, tickets: list[int]
) -> None:
    first = tickets[0]
    for text in (f"OP-{first}", f"op {first}", f"#{first}", f' "op-{first}"\u200b,'):
        assert offered(viewer, text) == [first], text
    assert offered(viewer, str(first)) == []
    assert offered(viewer, "OP-999999") == []
    assert offered(viewer, f"OP-{'9' * 30}") == []


def test_a_ticket_offers_its_operations(viewer: Client, tickets: list[int]) -> None:
    assert offered(viewer, "inc-44") == offered(viewer, '"INC-44"') == tickets[:0:-1]
    assert offered(viewer, "INC-4") == offered(viewer, "INC") == []


def test_of_many_operations_of_a_ticket_the_first_are_shown(
    viewer: Client, inventory: Cloud, actor: Actor
) -> None:
    devices = Device.objects.exclude(status="FROZEN").values_list("pk", flat=True)[:8]
    numbers = [
        create("device.freeze", [id], actor, key=f"key {id}", ticket="T 1/ü").pk
        for id in devices
    ]
    assert offered(viewer, "t 1/Ü") == numbers[:2:-1]
    page = viewer.get("/devices/", {"q": "T 1/ü"}).text
    link = re.search(r'href="(/operations/\?ticket=[^"]+)"', page)
    assert link
    listed = viewer.get(link[1]).text
    assert all(f'href="/operations/{number}/"' in listed for number in numbers)
    assert viewer.get("/operations/?ticket=T%202\0").text.count("/operations/1/") == 0


def test_operations_in_other_spaces_are_not_offered(tickets: list[int]) -> None:
    client = Client()
    client.force_login(make_user("viewer", "no-such-space"))
    assert offered(client, f"OP-{tickets[0]}") == offered(client, "INC-44") == []


def test_a_whole_id_that_is_not_synced_yet_is_read_from_iotda(
    viewer: Client, inventory: Cloud
) -> None:
    register(inventory, "late-0001", "Late pump")
    assert find(viewer, q=' "late-0001"\u200b') == ["late-0001"]
    assert Device.objects.get(pk="late-0001").name == "Late pump"
    assert len(inventory.journal("ShowDevice")) == 1
    assert find(viewer, q="late pump") == ["late-0001"]
    assert len(inventory.journal("ShowDevice")) == 1


def test_the_other_filters_count_for_a_device_that_was_just_read(
    viewer: Client, inventory: Cloud
) -> None:
    register(inventory, "late-0001", "Late pump")
    assert find(viewer, q="late-0001", status="FROZEN") == []
    assert find(viewer, q="late-0001") == ["late-0001"]


def test_a_device_of_another_space_is_read_but_not_shown(inventory: Cloud) -> None:
    register(inventory, "late-0001", "Late pump")
    client = Client()
    client.force_login(make_user("viewer", "no-such-space"))
    assert find(client, q="late-0001") == []


@pytest.mark.parametrize(
    "typed", ["late", "late pump", "latepump", "la-1", "x-1,y-2000000", "../late-0001"]
)
def test_iotda_is_not_asked_for_what_is_no_whole_id(
    viewer: Client, inventory: Cloud, typed: str
) -> None:
    assert find(viewer, q=typed) == []
    assert inventory.journal("ShowDevice") == []


def test_a_device_that_the_filters_hide_is_not_read(
    viewer: Client, inventory: Cloud
) -> None:
    device = inventory.known_ids["online"]
    assert find(viewer, q=device, status="FROZEN") == []
    assert inventory.journal("ShowDevice") == []


def test_an_id_that_iotda_does_not_know_finds_nothing(
    viewer: Client, inventory: Cloud
) -> None:
    response = viewer.get("/devices/", {"q": "never-0001"})
    assert "No device matches" in response.text
    assert "The request to IoTDA failed." not in response.text


def test_the_list_says_that_iotda_gave_no_answer(
    viewer: Client, inventory: Cloud, settings: Settings
) -> None:
    make_iotda_unreachable(settings)
    response = viewer.get("/devices/", {"q": "late-0001"})
    assert response.status_code == 200
    assert "The request to IoTDA failed." in response.text
    assert "IoTDA may have one." in response.text


def test_a_device_that_is_not_synced_yet_can_be_chosen_for_a_policy(
    policyadmin: Client, inventory: Cloud, settings: Settings
) -> None:
    register(inventory, "late-0001", "Late pump")
    form = {"target_type": "device", "q": "late-0001", "act": "find"}
    assert (
        'id="add-late-0001"' in policyadmin.post("/policies/selection.bind/", form).text
    )
    make_iotda_unreachable(settings)
    missing = policyadmin.post("/policies/selection.bind/", form | {"q": "late-0002"})
    assert missing.status_code == 200
    assert 'id="add-' not in missing.text


def test_a_search_does_not_show_whether_a_device_of_another_space_exists(
    inventory: Cloud, settings: Settings
) -> None:
    here, there = list(inventory.known_ids["free_by_space"])[:2]
    viewer = Client()
    viewer.force_login(make_user("viewer", here))
    make_iotda_unreachable(settings)
    ids = [inventory.known_ids["free_by_space"][there][0], "not-anywhere-1"]
    for device_id in ids:
        page = viewer.get("/devices/", {"q": device_id}).text
        assert "The request to IoTDA failed." in page
