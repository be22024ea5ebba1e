"""The main tasks with the keyboard only; the focus is never lost."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import make_user
from tests.e2e.stage import Stage

WHY = "Unpaid since March"


@pytest.fixture
def page(stage: Stage) -> Page:
    return stage.open_page("admin")


def tab_to(page: Page, query: str, key: str = "Tab") -> None:
    """Press Tab until the element has the focus; fail if it is never reached."""
    for _ in range(60):
        page.keyboard.press(key)
        if page.evaluate("query => document.activeElement.matches(query)", query):
            return
    raise AssertionError(f"{query} was not reached")


def find(page: Page, device: str) -> None:
    page.goto("/devices/")
    page.keyboard.press("/")
    page.keyboard.type(device)
    expect(page.locator("#rows tbody tr")).to_have_count(1)


def test_a_user_signs_in_with_the_keyboard(stage: Stage) -> None:
    page = stage.open_page()
    make_user("operator")
    page.goto("/")
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("operator")
    page.keyboard.press("Tab")
    page.keyboard.type("a-password-1\n")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_a_device_is_frozen_with_the_keyboard(page: Page, stage: Stage) -> None:
    device = stage.cloud.known_ids["online"]
    find(page, device)
    tab_to(page, f"#device-{device} .button")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type(f"{WHY}\n")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(f"#device-{device} .button")).to_be_focused()
    assert stage.cloud.status(device) == "FROZEN"


def test_the_dialog_keeps_the_focus_and_returns_it(page: Page, stage: Stage) -> None:
    device = stage.cloud.known_ids["online"]
    find(page, device)
    tab_to(page, f"#device-{device} .button")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason")).to_be_focused()
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || document.activeElement.closest('dialog')"
        )
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(f"#device-{device} .button")).to_be_focused()


def test_a_policy_is_bound_with_the_keyboard(page: Page, stage: Stage) -> None:
    policy, device = stage.cloud.known_ids["policy"], stage.cloud.free(1)[0]
    page.goto(f"/policies/{policy}/bind/")
    page.keyboard.press("/")
    page.keyboard.type(device)
    expect(page.locator(f'[value="add:{device}"]')).to_be_visible()
    tab_to(page, f'[value="add:{device}"]')
    page.keyboard.press("Space")
    expect(page.locator("#chosen .chip")).to_have_count(1)
    tab_to(page, "[name=reason]")
    page.keyboard.type(WHY)
    tab_to(page, '[value="bind"]')
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert device in stage.cloud.bound(policy)


def test_adding_a_target_keeps_the_focus(page: Page, stage: Stage) -> None:
    device = stage.cloud.free(1)[0]
    page.goto(f"/policies/{stage.cloud.known_ids['policy']}/bind/")
    page.keyboard.press("/")
    page.keyboard.type(device)
    expect(page.locator(f'[value="add:{device}"]')).to_be_visible()
    tab_to(page, f'[value="add:{device}"]')
    page.keyboard.press("Enter")
    expect(page.locator("#chosen .chip")).to_have_count(1)
    expect(page.get_by_role("button", name="Added")).to_be_focused()


def test_a_selected_target_is_removed_with_the_keyboard(
    page: Page, stage: Stage
) -> None:
    page.goto("/devices/")
    page.get_by_label(re.compile("^Select (?!all)")).first.check()
    page.get_by_role("button", name="Bind a policy").click()
    tab_to(page, "#chosen input")
    page.keyboard.press("Space")
    expect(page.locator("#chosen input")).not_to_be_checked()


def test_a_slash_is_typed_inside_a_text_field(page: Page) -> None:
    page.goto("/devices/")
    page.keyboard.press("/")
    page.keyboard.type("a/b")
    expect(page.get_by_label("Search devices")).to_have_value("a/b")
