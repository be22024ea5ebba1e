"""Each page in each of its states is accessible, on a phone too."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from devices.models import Device
from tests.e2e.stage import TELEPHONE, Stage
from tests.e2e.tours import TOURS
from tests.e2e.tours.policies import policy

tours = pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.__name__)
AXE = Axe().axe_script
# Rules that depend on the colour theme.
COLOURS = ["color-contrast", "link-in-text-block"]
LOOK = {"resultTypes": ["violations"], "preload": False}
BUT_COLOURS = LOOK | {"rules": {name: {"enabled": False} for name in COLOURS}}
ONLY_COLOURS = LOOK | {"runOnly": COLOURS}
# The rows of a table come from one template: check only the first twenty.
PART = {
    "exclude": [["tbody tr:nth-child(n + 21)"], [".picker-results li:nth-child(n + 8)"]]
}
# Texts by what determines their contrast; check the first of each kind.
KINDS = """() => {
  const styles = each => each ? [getComputedStyle(each), ...styles(each.parentElement)] : []
  const behind = style => [style.backgroundColor, style.backgroundImage, style.opacity].join()
  const kind = each => {
    const [own, ...others] = styles(each), {color, fontSize, fontWeight, textDecorationLine} = own
    const around = each.localName === "a" ? others[0]?.color : ""
    const back = [...new Set([own, ...others].map(behind))]
    return [color, fontSize, fontWeight, textDecorationLine, around, ...back].join("; ")
  }
  const speaks = each => each.checkVisibility() && (each.matches("input, select, textarea")
    || [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
  const kinds = new Map()
  for (const each of document.querySelectorAll("body *"))
    if (speaks(each) && !kinds.has(kind(each))) kinds.set(kind(each), each)
  return kinds
}"""
# In one call: a page that polls may replace the elements found.
NEW = f"""async ([seen, options]) => {{
  const kinds = ({KINDS})(), fresh = [...kinds.keys()].filter(kind => !seen.includes(kind))
  if (!fresh.length) return [fresh, {{violations: []}}]
  return [fresh, await axe.run({{include: fresh.map(kind => kinds.get(kind))}}, options)]
}}"""
SEEN: set[str] = set()
# Elements that overflow their card and cannot be scrolled into view.
CUT = """() => [...document.querySelectorAll(":is(.card, .table-card) :is(td bdi, dd)")]
  .filter(each => each.checkVisibility()
    && each.getBoundingClientRect().right > each.closest(".card, .table-card").getBoundingClientRect().right)
  .map(each => each.textContent.trim())"""


@tours
def test_no_page_has_axe_violations_or_scrolls_sideways(
    stage: Stage, tour: Any
) -> None:
    found = []
    for name, page in tour(stage):
        page.evaluate(AXE)
        results = page.evaluate(
            "([part, options]) => axe.run(part, options)", [PART, BUT_COLOURS]
        )
        found += [f"{name}: {one}" for one in violations(results)]
        found += in_both_themes(name, page)
        found += too_wide(name, page)
    assert found == []


def too_wide(name: Any, page: Page) -> Any:
    """Return what is too wide on a phone. A tour of its own would take 30 s."""
    as_it_was = page.viewport_size
    page.set_viewport_size({"width": TELEPHONE["viewport"]["width"], "height": 844})
    width, cut = page.evaluate(f"[document.documentElement.scrollWidth, ({CUT})()]")
    page.set_viewport_size(as_it_was)
    wide = (
        [f"{name}: {width} pixels wide"]
        if width > TELEPHONE["viewport"]["width"]
        else []
    )
    return wide + [f"{name}: cut off on a telephone: {text}" for text in cut]


def in_both_themes(name: Any, page: Page) -> Any:
    """Check the colours of elements not seen on earlier pages, in both themes."""
    found = []
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        new, results = page.evaluate(NEW, [list(SEEN), ONLY_COLOURS])
        SEEN.update(new)
        found += [f"{name}, {scheme}: {one}" for one in violations(results)]
    return found


def violations(results: Any) -> list[Any]:
    return [
        f"{one['id']}: {node['html'][:150]} {node['failureSummary']}"
        for one in results["violations"]
        for node in one["nodes"]
    ]


def test_no_page_scrolls_sideways_on_a_phone(stage: Stage) -> None:
    """Emulate a phone for one tour only: all pages have the same head."""
    stage.options = TELEPHONE
    widths = {
        name: page.evaluate("document.documentElement.scrollWidth")
        for name, page in policy(stage)
    }
    assert {name: width for name, width in widths.items() if width > 390} == {}


def test_the_buttons_stay_visible_beside_the_longest_names(stage: Stage) -> None:
    device = Device.objects.get(pk=stage.cloud.known_ids["online"])
    device.pk = device.gateway_id = "x" * 128
    device.name = "W" * 256
    device.save()
    page = stage.open_page("admin")
    page.goto(f"/devices/?q={device.pk}")
    for width in (390, 1000, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        button = page.locator(f"#device-{device.pk} .button").bounding_box()
        assert button["x"] + button["width"] < width
