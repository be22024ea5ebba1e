"""Each page in each of its states: usable by everybody, on a telephone too."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.e2e.stage import TELEPHONE
from tests.e2e.tour import TOURS

tours = pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.__name__)
# What can differ in the dark.
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"], "resultTypes": ["violations"]}


@tours
def test_it_has_nothing_that_axe_objects_to(stage, tour):
    found = []
    for name, page in tour(stage):
        found += [f"{name}: {one}" for one in violations(page)]
        page.emulate_media(color_scheme="dark")
        found += [f"{name} in the dark: {one}" for one in violations(page, COLOURS)]
        page.emulate_media(color_scheme="light")
    assert found == []


def violations(page, options=None):
    results = Axe().run(page, options=options or {"resultTypes": ["violations"]})
    return [
        f"{one['id']}: {node['html'][:150]} {node['any'][:1] and node['any'][0]['message']}"
        for one in results.response["violations"]
        for node in one["nodes"]
    ]


@tours
def test_it_works_on_a_telephone_without_scrolling_sideways(stage, tour):
    stage.options = TELEPHONE
    widths = {name: page.evaluate("document.documentElement.scrollWidth") for name, page in tour(stage)}
    assert {name: width for name, width in widths.items() if width > 390} == {}
