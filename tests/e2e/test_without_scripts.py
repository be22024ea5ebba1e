"""Everything works as plain pages and forms."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from iotda_admin.inventory.models import SyncRun
from iotda_admin.operations.execution.executor import execute_chunk
from iotda_admin.rate.connection import client
from tests.e2e.stage import Stage

WHY = "Unpaid since March"


@pytest.fixture
def page(stage: Stage) -> Page:
    stage.options = {"java_script_enabled": False}
    return stage.open_page("admin")


def press(page: Page, name: Any) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def explain(page: Page, button: Any) -> None:
    page.get_by_label("Reason").fill(WHY)
    press(page, button)
    expect(page.get_by_role("heading", level=1)).to_contain_text("OP-")


def test_the_device_list_is_filtered(page: Page, stage: Stage) -> None:
    page.goto("/devices/")
    page.get_by_label("Status").select_option("FROZEN")
    press(page, "Find")
    expect(page.get_by_role("link", name="Remove the filter Status")).to_be_visible()
    expect(page.locator("#rows tbody tr")).to_have_count(2)


def test_a_device_is_frozen(page: Page, stage: Stage) -> None:
    device = stage.cloud.known_ids["online"]
    page.goto(f"/devices/?q={device}")
    page.get_by_role("link", name=re.compile("^Freeze")).click()
    explain(page, "Freeze")
    assert stage.cloud.status(device) == "FROZEN"


def test_many_devices_are_frozen(page: Page, stage: Stage) -> None:
    page.goto("/devices/?status=ONLINE&node_type=GATEWAY")
    for box in page.get_by_label(re.compile("^Select (?!all)")).all()[:3]:
        box.check()
    press(page, "Freeze")
    expect(page.get_by_role("heading", level=1)).to_have_text("Freeze 3 devices")
    explain(page, "Freeze 3")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Freeze, 3 devices")


def test_targets_are_found_added_removed_and_bound(page: Page, stage: Stage) -> None:
    one, other, unwanted = stage.cloud.free(3)
    page.goto(f"/policies/{stage.cloud.known_ids['policy']}/bind/")
    for device in (one, unwanted):
        page.get_by_label("Find devices").fill(device)
        page.locator("#found").get_by_role("button", name="Find").click()
        page.locator(f'[value="add:{device}"]').click()
    page.locator(f'#chosen label:has([value="{unwanted}"])').click()
    page.get_by_text("Paste or upload IDs").click()
    page.get_by_label(re.compile("^IDs")).fill(f"{other}, {one}")
    explain(page, "Bind")
    expect(page.locator(".counts [data-state=ok] b")).to_have_text("2")
    assert stage.cloud.bound(stage.cloud.known_ids["policy"]) >= {one, other}
    assert unwanted not in stage.cloud.bound(stage.cloud.known_ids["policy"])


def test_a_policy_is_bound_to_another_target_type(page: Page, stage: Stage) -> None:
    known = stage.cloud.known_ids
    page.goto(f"/policies/{known['policy']}/bind/")
    press(page, "Products")
    page.locator(f'[value="add:{known["product"]}"]').click()
    explain(page, "Bind")
    assert known["product"] in stage.cloud.bound(known["policy"], "product")


def test_a_policy_is_unbound(page: Page, stage: Stage) -> None:
    policy = stage.cloud.known_ids["policy"]
    before = stage.cloud.bound(policy)
    page.goto(f"/policies/{policy}/")
    page.get_by_role("link", name=re.compile("^Unbind")).first.click()
    explain(page, "Unbind")
    assert len(stage.cloud.bound(policy)) == len(before) - 1


def test_a_sync_is_requested_and_the_page_stays(page: Page, stage: Stage) -> None:
    page.goto("/devices/?status=FROZEN")
    press(page, "Refresh")
    assert page.url.endswith("/devices/?status=FROZEN")
    assert SyncRun.objects.first().state == SyncRun.State.REQUESTED


def test_the_policies_of_a_device_are_shown(page: Page, stage: Stage) -> None:
    page.goto(f"/devices/{stage.cloud.known_ids['full']}/")
    page.get_by_role("link", name="Show the policies in effect").click()
    expect(page.get_by_text("5 of 5 used on the device itself")).to_be_visible()


def test_an_unknown_target_is_checked_again(page: Page, stage: Stage) -> None:
    stage.cloud.fault("BindDevicePolicy", "drop", moment="after")
    policy, one = stage.cloud.known_ids["policy"], stage.cloud.free(1)
    operation = stage.ask(
        "policy.bind", list(one), who=stage.user("admin"), policy=policy
    )
    operation.chunks.update(due_at=operation.created_at)
    page.goto(operation.get_absolute_url())
    press(page, "Check now")
    expect(page.locator(".counts [data-state=ok] b")).to_have_text("1")


def test_an_operation_is_cancelled_retried_and_undone(page: Page, stage: Stage) -> None:
    ids = [*stage.cloud.free(10), *(f"nobody-{n}" for n in range(15))]
    operation = stage.ask(
        "policy.bind",
        ids,
        who=stage.user("admin"),
        policy=stage.cloud.known_ids["policy"],
    )
    execute_chunk(operation.chunks.get(number=1), client())
    page.goto(operation.get_absolute_url())
    page.get_by_role("link", name="Show the current progress").click()
    expect(page.locator("#progress-label")).to_have_text("20 of 25 answered")
    page.get_by_role("link", name="Cancel the rest").click()
    press(page, "Cancel the rest")
    expect(page.locator(".counts [data-state=cancelled] b")).to_have_text("5")
    page.get_by_role("link", name="Undo").click()
    explain(page, "Unbind")
    expect(page.locator(".counts [data-state=ok] b")).to_have_text("10")
    page.get_by_role("link", name=str(operation)).click()
    page.get_by_role("link", name="Retry").click()
    explain(page, "Bind")
    expect(page.get_by_text("Attempt 2 of")).to_be_visible()


def test_the_summary_for_a_ticket_can_be_read(page: Page, stage: Stage) -> None:
    operation = stage.ask(
        "device.freeze", list(stage.cloud.free(1)), who=stage.user("admin")
    )
    page.goto(operation.get_absolute_url())
    page.get_by_text("Show the text").click()
    expect(page.locator("#ticket-text")).to_contain_text("Reason: Unpaid since March")
    expect(page.get_by_role("button", name="Copy")).to_be_hidden()


def test_a_failure_is_assigned_and_retried(page: Page, stage: Stage) -> None:
    full, policy = stage.cloud.known_ids["full"], stage.cloud.known_ids["policy"]
    stage.ask("policy.bind", [full], who=stage.user("admin"), policy=policy)
    page.goto("/failures/")
    page.get_by_role("link", name="Show the targets").click()
    page.get_by_label(re.compile("^Select (?!all)")).check()
    press(page, "Take")
    expect(page.get_by_text("Assigned to you.")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Retry .")).click()
    page.get_by_label("Reason").fill(WHY)
    press(page, "Retry")
    expect(page.get_by_text("Retried:")).to_be_visible()
