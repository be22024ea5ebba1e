"""Each page in each of its states: usable by everybody, on a telephone too."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from devices.models import Device
from tests.e2e.stage import TELEPHONE
from tests.e2e.tour import TOURS, lists

tours = pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.__name__)
AXE = Axe().axe_script
EVERYTHING = {"resultTypes": ["violations"], "preload": False}
# The rows of a long table come from one template: the first twenty stand for all.
PART = {"exclude": [["tbody tr:nth-child(n + 21)"], [".picker-results li:nth-child(n + 8)"]]}
# What can differ in the dark.
COLOURS = EVERYTHING | {"runOnly": ["color-contrast", "link-in-text-block"]}


@tours
def test_it_has_nothing_that_axe_objects_to_and_scrolls_sideways_nowhere(stage, tour):
    found = []
    for name, page in tour(stage):
        page.evaluate(AXE)
        found += [f"{name}: {one}" for one in violations(page, EVERYTHING)]
        page.emulate_media(color_scheme="dark")
        found += [f"{name} in the dark: {one}" for one in violations(page, COLOURS)]
        page.emulate_media(color_scheme="light")
        found += too_wide(name, page)
    assert found == []


def too_wide(name, page):
    """On a telephone, of the same visit: walking all pages once more would cost half a minute."""
    as_it_was = page.viewport_size
    page.set_viewport_size({"width": TELEPHONE["viewport"]["width"], "height": 844})
    width = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size(as_it_was)
    return [f"{name}: {width} pixels wide"] if width > TELEPHONE["viewport"]["width"] else []


def violations(page, options):
    results = page.evaluate("([part, options]) => axe.run(part, options)", [PART, options])
    return [
        f"{one['id']}: {node['html'][:150]} {node['failureSummary']}"
        for one in results["violations"]
        for node in one["nodes"]
    ]


def test_it_works_on_a_telephone_without_scrolling_sideways(stage):
    """What a telephone says of itself, for one tour: each page has the same head."""
    stage.options = TELEPHONE
    widths = {name: page.evaluate("document.documentElement.scrollWidth") for name, page in lists(stage)}
    assert {name: width for name, width in widths.items() if width > 390} == {}


@pytest.mark.parametrize("width", [390, 1000, 1280])
def test_it_keeps_the_buttons_in_reach_beside_the_longest_names(stage, width):
    stage.options = {"viewport": {"width": width, "height": 800}}
    device = Device.objects.get(pk=stage.cloud.landmarks["online"])
    device.pk = device.gateway_id = "x" * 128
    device.name = "W" * 256
    device.save()
    page = stage.open_page("admin")
    page.goto(f"/devices/?q={device.pk}")
    button = page.locator(f"#act-{device.pk}").bounding_box()
    assert button["x"] + button["width"] < width
