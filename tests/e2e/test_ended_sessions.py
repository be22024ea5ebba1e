"""A session that ends, or a new sign-in, takes nothing away that a person filled in."""

import re

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from iotda_admin.inventory.models import SyncRun
from iotda_admin.operations.models import Operation
from tests.e2e.stage import Stage

WHY = "Unpaid since March"
TICKET = "INC-4711"
NOTHING = "Nothing was sent"

with_and_without_scripts = pytest.mark.parametrize("scripts", [True, False])


def open_page(stage: Stage, *, scripts: bool = True) -> Page:
    stage.options = {} if scripts else {"java_script_enabled": False}
    return stage.open_page("admin")


def end_session() -> None:
    Session.objects.all().delete()


def sign_in(page: Page) -> None:
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("a-password-1")
    page.get_by_role("button", name="Sign in").click()


def return_to_form(page: Page) -> None:
    """Sign in again, and see that nothing was sent."""
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_text(NOTHING)).to_be_visible()
    sign_in(page)
    expect(page.get_by_role("alert").filter(has_text=NOTHING)).to_be_visible()
    assert not Operation.objects.exists()


def explain(page: Page) -> None:
    page.get_by_label("Reason").fill(WHY)
    page.get_by_label("Ticket").fill(TICKET)


def expect_explained(page: Page) -> None:
    expect(page.get_by_label("Reason")).to_have_value(WHY)
    expect(page.get_by_label("Ticket")).to_have_value(TICKET)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def open_bind(page: Page, stage: Stage, device: str) -> None:
    page.goto(f"/policies/{stage.cloud.known_ids['policy']}/bind/")
    page.get_by_label("Find devices").fill(device)
    if page.evaluate("() => typeof htmx === 'undefined'"):
        page.locator("#found").get_by_role("button", name="Find").click()
    page.locator(f'[value="add:{device}"]').click()
    expect(page.locator(f'#chosen [value="{device}"]')).to_be_checked()
    page.get_by_text("Paste or upload IDs").click()


@with_and_without_scripts
def test_a_bind_is_filled_in_after_signing_in(stage: Stage, *, scripts: bool) -> None:
    page = open_page(stage, scripts=scripts)
    one, other, third = stage.cloud.free(3)
    open_bind(page, stage, one)
    page.get_by_label(re.compile("^IDs")).fill(other)
    page.get_by_label("Or a file").set_input_files(
        {"name": "ids.txt", "mimeType": "text/plain", "buffer": third.encode()}
    )
    explain(page)
    end_session()
    press(page, "Bind")
    return_to_form(page)
    expect_explained(page)
    expect(page.locator(f'#chosen [value="{one}"]')).to_be_checked()
    expect(page.get_by_label(re.compile("^IDs"))).to_have_value(
        re.compile(f"{other}\\s+{third}")
    )
    press(page, "Bind")
    expect(page.get_by_role("heading", level=1)).to_contain_text("OP-")
    bound = stage.cloud.bound(stage.cloud.known_ids["policy"])
    assert bound >= {one, other, third}


@with_and_without_scripts
def test_a_freeze_is_filled_in_after_signing_in(stage: Stage, *, scripts: bool) -> None:
    page = open_page(stage, scripts=scripts)
    device = stage.cloud.known_ids["online"]
    page.goto(f"/devices/?q={device}")
    page.locator(f"#device-{device} .button").click()
    explain(page)
    end_session()
    press(page, "Freeze")
    return_to_form(page)
    expect_explained(page)
    assert stage.cloud.status(device) == "ONLINE"
    press(page, "Freeze")
    expect(page.get_by_role("heading", level=1)).to_contain_text("OP-")
    assert stage.cloud.status(device) == "FROZEN"


@with_and_without_scripts
def test_a_bulk_confirmation_is_filled_in_after_signing_in(
    stage: Stage, *, scripts: bool
) -> None:
    page = open_page(stage, scripts=scripts)
    page.goto("/devices/?status=ONLINE&node_type=GATEWAY")
    for box in page.get_by_label(re.compile("^Select (?!all)")).all()[:3]:
        box.check()
    page.get_by_role("button", name=re.compile("^Freeze( 3)?$")).click()
    explain(page)
    end_session()
    press(page, "Freeze 3")
    return_to_form(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Freeze 3 devices")
    expect_explained(page)
    press(page, "Freeze 3")
    expect(page.get_by_role("heading", level=1)).to_contain_text("3 devices")


def test_ticked_rows_lead_to_their_form_after_signing_in(stage: Stage) -> None:
    page = open_page(stage)
    page.goto("/devices/?status=ONLINE&node_type=GATEWAY")
    for box in page.get_by_label(re.compile("^Select (?!all)")).all()[:2]:
        box.check()
    end_session()
    page.get_by_role("button", name=re.compile("^Freeze 2$")).click()
    return_to_form(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Freeze 2 devices")


def test_a_search_without_a_session_keeps_the_whole_form(stage: Stage) -> None:
    page = open_page(stage)
    one, other = stage.cloud.free(2)
    open_bind(page, stage, one)
    page.get_by_label(re.compile("^IDs")).fill(other)
    explain(page)
    end_session()
    page.get_by_label("Find devices").fill("pump")
    return_to_form(page)
    expect_explained(page)
    expect(page.get_by_label(re.compile("^IDs"))).to_have_value(other)
    expect(page.locator(f'#chosen [value="{one}"]')).to_be_checked()


def test_a_poll_without_a_session_leaves_typed_text(stage: Stage) -> None:
    page = open_page(stage)
    SyncRun.objects.create(state=SyncRun.State.RUNNING)
    page.goto(f"/policies/{stage.cloud.known_ids['policy']}/bind/")
    explain(page)
    end_session()
    expect(page.locator("#alert")).to_contain_text("Your session has ended.")
    expect_explained(page)
    press(page, "Bind")
    return_to_form(page)
    expect_explained(page)


@with_and_without_scripts
def test_a_form_older_than_a_new_sign_in_is_filled_in(
    stage: Stage, *, scripts: bool
) -> None:
    page = open_page(stage, scripts=scripts)
    (one,) = stage.cloud.free(1)
    page.goto("/")
    press(page, "Sign out")
    sign_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    open_bind(page, stage, one)
    explain(page)

    tab = page.context.new_page()
    tab.goto("/")
    press(tab, "Sign out")
    sign_in(tab)
    expect(tab.get_by_role("heading", level=1)).to_have_text("Overview")
    tab.close()

    press(page, "Bind")
    notice = page.get_by_role("alert").filter(has_text="you signed in again")
    expect(notice).to_contain_text(NOTHING)
    expect_explained(page)
    assert not Operation.objects.exists()
    press(page, "Bind")
    expect(page.get_by_role("heading", level=1)).to_contain_text("OP-")
    assert one in stage.cloud.bound(stage.cloud.known_ids["policy"])


@with_and_without_scripts
def test_another_kind_of_target_keeps_what_was_chosen(
    stage: Stage, *, scripts: bool
) -> None:
    page = open_page(stage, scripts=scripts)
    (one, other), product = stage.cloud.free(2), stage.cloud.known_ids["product"]
    open_bind(page, stage, one)
    page.get_by_label(re.compile("^IDs")).fill(other)
    explain(page)
    press(page, "Products")
    expect(page.get_by_label("Find products")).to_be_visible()
    page.locator(f'[value="add:{product}"]').click()
    expect(page.locator("#chosen input")).to_have_count(1)
    press(page, "Devices")
    expect(page.locator(f'#chosen [value="{one}"]')).to_be_checked()
    expect(page.get_by_label(re.compile("^IDs"))).to_have_value(other)
    expect(page.locator("#fold-paste")).to_have_attribute("open", "")
    press(page, "Products")
    expect(page.locator(f'#chosen [value="{product}"]')).to_be_checked()
    expect_explained(page)
