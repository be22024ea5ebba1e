"""The search of the devices, and the column that it compares."""

import importlib
import re
from typing import Any

import pytest
from django.apps import apps
from django.test import Client

from devices.models import Device, Product, Space
from devices.sync import store_device
from iotda_admin.core.search_text import MAX_LENGTH, normalize_text
from iotda_admin.inventory.models import SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.rate import connection
from tests.cloud import Cloud
from tests.devices.test_list import find

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
        store_device(connection.client().show_device(device_id))
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
