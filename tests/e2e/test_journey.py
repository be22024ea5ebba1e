"""The main tasks of a support agent, in a browser."""

import re

from playwright.sync_api import Page, expect

from tests.conftest import make_user
from tests.e2e.conftest import OpenPage
from tests.e2e.stage import Stage

WHY = "Unpaid since March"
SAID = "Operation not allowed. The number of policies bound to the target reaches the upper limit (5)."


def sign_in(page: Page, name: str) -> None:
    page.goto("/")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill("a-password-1")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")


def find(page: Page, text: str) -> None:
    page.goto("/devices/")
    page.get_by_label("Search devices").fill(text)
    expect(page.locator("#rows tbody tr")).to_have_count(1)


def bind_three(page: Page, stage: Stage) -> None:
    """Bind two devices, and one that already has the most policies allowed."""
    page.goto(f"/policies/{stage.cloud.known_ids['policy']}/bind/")
    for device in [*stage.cloud.free(2), stage.cloud.known_ids["full"]]:
        page.get_by_label("Find devices").fill(device)
        page.locator(f'[value="add:{device}"]').click()
        expect(page.locator(f'#chosen [value="{device}"]')).to_be_checked()
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("button", name="Bind", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("OP-")


def test_a_user_signs_in(stage: Stage, open_page: OpenPage) -> None:
    page = open_page()
    make_user("operator")
    sign_in(page, "operator")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_a_device_is_frozen_in_its_row(stage: Stage, open_page: OpenPage) -> None:
    device = stage.cloud.known_ids["online"]
    page = open_page("operator")
    find(page, device)
    page.get_by_role("link", name=re.compile("^Freeze")).click()
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("dialog").get_by_role("button", name="Freeze").click()

    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(f"#device-{device}")).to_contain_text("Frozen")
    expect(page.get_by_role("status")).to_contain_text("is frozen")
    expect(page.get_by_role("link", name=re.compile("^Unfreeze"))).to_be_focused()
    assert stage.cloud.status(device) == "FROZEN"


def test_the_result_shows_which_targets_succeeded_or_failed_and_why(
    stage: Stage, open_page: OpenPage
) -> None:
    page = open_page("policy admin")
    bind_three(page, stage)
    expect(page.locator(".counts [data-state=ok] b")).to_have_text("2")
    expect(page.locator(".counts [data-state=failed] b")).to_have_text("1")
    failure = page.locator(".failure")
    expect(failure).to_contain_text("IOTDA.015204")
    expect(failure).to_contain_text(stage.cloud.known_ids["full"])
    expect(failure.locator("blockquote")).to_have_text(SAID)
    assert stage.cloud.bound(stage.cloud.known_ids["policy"]) >= set(
        stage.cloud.free(2)
    )
    is_the_same_at_its_own_address(page)


def is_the_same_at_its_own_address(page: Page) -> None:
    at_once = page.locator("#operation").inner_text()
    assert re.search(r"/operations/\d+/$", page.url)
    page.reload()
    assert page.locator("#operation").inner_text() == at_once


def test_a_double_click_sends_the_form_once(stage: Stage, open_page: OpenPage) -> None:
    page = open_page("policy admin")
    page.goto(f"/policies/{stage.cloud.known_ids['policy']}/bind/")
    page.get_by_text("Paste or upload IDs").click()
    page.get_by_label(re.compile("^IDs")).fill(stage.cloud.free(1)[0])
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("button", name="Bind", exact=True).dblclick()
    expect(page.get_by_role("heading", level=1)).to_contain_text("OP-")
    assert len(stage.cloud.journal("BindDevicePolicy")) == 1
