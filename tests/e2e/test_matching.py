"""The box that selects the devices of all pages."""

import re

from playwright.sync_api import expect

from devices.models import Device
from devices.targets import DIRECT
from tests.e2e.stage import Stage


def test_all_of_the_list_are_selected_over_all_pages(stage: Stage) -> None:
    page = stage.open_page("admin")
    page.goto("/devices/")
    total, direct = Device.objects.count(), Device.objects.filter(DIRECT).count()
    box = page.get_by_label(f"All {total} of the list")
    expect(box).to_be_hidden()
    page.get_by_label(re.compile("^Select (?!all)")).first.check()
    count = page.locator("[data-selection-bar] .count-text")
    expect(count).to_have_text("1 selected")
    box.check()
    expect(count).to_have_text(f"{total} selected")
    box.uncheck()
    expect(count).to_have_text("1 selected")
    box.check()
    page.get_by_role("button", name=re.compile("^Freeze")).click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text(f"Freeze {direct} devices")
