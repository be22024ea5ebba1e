"""A poll or a sync never replaces what a person works on."""

from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, Route, expect

from devices.models import Device
from iotda_admin.inventory.models import SyncRun
from iotda_admin.operations.execution.executor import execute_chunk
from iotda_admin.rate.connection import client
from policies.models import Policy
from tests.e2e.stage import Stage

WHY = "Unpaid since March"
SELECT = "element => getSelection().selectAllChildren(element)"


@pytest.fixture
def page(stage: Stage) -> Page:
    """Return a page in a browser, while another person's sync is running."""
    SyncRun.objects.create(state=SyncRun.State.RUNNING)
    return stage.open_page("admin")


def end_sync() -> None:
    running = SyncRun.objects.filter(state=SyncRun.State.RUNNING)
    running.update(state=SyncRun.State.DONE, finished_at=timezone.now())


def offer(page: Page) -> Locator:
    return page.locator("#changed:not(:empty)")


def tick(page: Page, device: Device) -> Locator:
    box = page.locator(f"#device-{device.pk} input")
    box.check()
    return box


def test_ticks_survive_a_sync_until_the_reload_and_after_it(
    page: Page, stage: Stage
) -> None:
    page.goto("/devices/")
    kept, gone, renamed = Device.objects.all()[:3]
    first, second = tick(page, kept), tick(page, gone)
    Device.objects.filter(pk=gone.pk).delete()
    Device.objects.filter(pk=renamed.pk).update(name="Renamed elsewhere")
    end_sync()
    expect(offer(page)).to_have_text("The list has changed.")
    expect(first).to_be_checked()
    expect(second).to_be_checked()
    expect(page.get_by_text("2 selected")).to_be_visible()

    page.get_by_role("button", name="Reload").click()
    expect(page.get_by_text("Renamed elsewhere")).to_be_visible()
    expect(first).to_be_checked()
    expect(second).to_have_count(0)
    expect(page.get_by_text("1 selected")).to_be_visible()
    expect(offer(page)).to_have_count(0)


def test_a_list_that_nobody_works_on_is_replaced(page: Page, stage: Stage) -> None:
    page.goto("/devices/")
    device = Device.objects.all()[0]
    Device.objects.filter(pk=device.pk).update(name="Renamed elsewhere")
    end_sync()
    expect(page.get_by_text("Renamed elsewhere")).to_be_visible()
    expect(offer(page)).to_have_count(0)


def test_a_sync_that_changes_nothing_offers_nothing(page: Page, stage: Stage) -> None:
    page.goto("/devices/")
    box = tick(page, Device.objects.all()[0])
    with page.expect_response("**/devices/"):
        end_sync()
    page.wait_for_function("() => !document.querySelector('.htmx-request')")
    expect(box).to_be_checked()
    expect(offer(page)).to_have_count(0)


def test_a_dialog_keeps_its_row_and_its_text(page: Page, stage: Stage) -> None:
    device = stage.cloud.known_ids["online"]
    page.goto(f"/devices/?status=ONLINE&q={device}")
    page.locator(f"#device-{device} .button").click()
    page.get_by_label("Reason").fill(WHY)
    Device.objects.filter(pk=device).update(status="OFFLINE")
    with page.expect_response("**/devices/?*"):
        end_sync()
    page.get_by_role("dialog").get_by_role("button", name="Freeze").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert stage.cloud.status(device) == "FROZEN"


@pytest.mark.parametrize("path", ["/", "/devices/", "/policies/"])
def test_selected_text_survives_a_sync(page: Page, stage: Stage, path: str) -> None:
    page.goto(path)
    code = page.locator("[data-changed] :is(code, h2)").first
    code.evaluate(SELECT)
    Device.objects.all()[0].delete()
    Policy.objects.update(name="Renamed elsewhere")
    end_sync()
    expect(offer(page)).to_be_visible()
    assert page.evaluate("getSelection().toString()") == code.inner_text()


def test_a_tick_survives_the_change_of_its_row(page: Page, stage: Stage) -> None:
    device = Device.objects.get(pk=stage.cloud.known_ids["online"])
    page.goto(f"/devices/?q={device.pk}")
    box = tick(page, device)
    page.locator(f"#device-{device.pk} .button").click()
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("dialog").get_by_role("button", name="Freeze").click()
    expect(page.locator(f"#device-{device.pk}")).to_contain_text("Frozen")
    expect(box).to_be_checked()


def test_text_typed_during_a_swap_is_kept(page: Page, stage: Stage) -> None:
    known, held = stage.cloud.known_ids, list[Route]()
    page.goto(f"/policies/{known['policy']}/bind/")
    page.get_by_text("Paste or upload IDs").click()
    page.route("**/selection.bind/", lambda route: held.append(route))
    with page.expect_request("**/selection.bind/"):
        page.get_by_label("Policy", exact=True).select_option(known["other_policy"])
    page.get_by_label("Reason").fill(WHY)
    with page.expect_response("**/selection.bind/"):
        held[0].continue_()
    expect(
        page.get_by_role("heading", level=2, name="Statements of")
    ).not_to_contain_text("quarantine")
    expect(page.get_by_label("Reason")).to_have_value(WHY)
    expect(page.locator("#fold-paste")).to_have_attribute("open", "")


def test_a_poll_waits_for_text_that_is_selected(page: Page, stage: Stage) -> None:
    running: Any = stage.ask(
        "policy.bind",
        [f"nobody-{n}" for n in range(60)],
        who=stage.user("admin"),
        policy=stage.cloud.known_ids["policy"],
    )
    execute_chunk(running.chunks.get(number=1), client())
    page.goto(running.get_absolute_url())
    message = page.locator("blockquote").first
    message.evaluate(SELECT)
    execute_chunk(running.chunks.get(number=2), client())
    expect(offer(page)).to_have_text(f"{running} has changed.")
    assert page.evaluate("getSelection().toString()") == message.inner_text()
    page.evaluate("getSelection().removeAllRanges()")
    expect(page.locator("#progress-label")).to_have_text("40 of 60 answered")
    expect(offer(page)).to_have_count(0)
