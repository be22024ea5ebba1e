"""Replace a policy of a full target, from the operation that failed and back to it."""

import re
from contextlib import suppress

import pytest
from playwright.sync_api import Page, TimeoutError, expect

from iotda_admin.operations.models import Operation
from tests.e2e.stage import TELEPHONE, Stage

WHY = "The pump is quarantined"


def failed_bind(stage: Stage) -> Operation:
    known = stage.cloud.known_ids
    return stage.ask(
        "policy.bind",
        [known["full"]],
        who=stage.user("admin"),
        policy=known["policy"],
    )


def expect_replaced(page: Page, stage: Stage, failed: Operation) -> None:
    """Expect the page of the failed operation, resolved, with links to the others."""
    bind = failed.retries.get()
    assert bind.after
    expect(page).to_have_url(re.compile(rf"{failed.get_absolute_url()}$"))
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_contain_text("Failures resolved")
    expect(page.locator(f"#link-prepared_by-{bind.after.pk}")).to_be_visible()
    expect(page.locator(f"#link-retried_by-{bind.pk}")).to_be_visible()
    bound = stage.cloud.bound(failed.policy_id)
    assert stage.cloud.known_ids["full"] in bound


def test_a_policy_is_replaced_in_a_dialog_with_the_keyboard(stage: Stage) -> None:
    failed = failed_bind(stage)
    page = stage.open_page("admin")
    page.goto(failed.get_absolute_url())
    page.get_by_role("link", name=re.compile("^Replace a policy of")).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("radio")).to_have_count(5)
    expect(dialog.get_by_role("radio").first).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    chosen = dialog.get_by_role("radio").nth(1)
    expect(chosen).to_be_checked()
    name = dialog.locator("label").nth(1).inner_text()
    button = dialog.get_by_role("button", name=f"Unbind {name} and bind quarantine")
    expect(button).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.type(f"{WHY}\n")
    expect(dialog).to_be_hidden()
    expect_replaced(page, stage, failed)
    unbind = Operation.objects.get(verb="policy.unbind")
    assert (unbind.policy_name, unbind.reason) == (name, WHY)


def test_a_form_without_a_choice_stays_in_the_dialog(stage: Stage) -> None:
    failed = failed_bind(stage)
    page = stage.open_page("admin")
    page.goto(failed.get_absolute_url())
    page.get_by_role("link", name=re.compile("^Replace a policy of")).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill(WHY)
    dialog.get_by_role("button", name="Unbind it and bind quarantine").click()
    expect(dialog.get_by_text("Choose the policy to unbind.")).to_be_visible()
    expect(dialog.get_by_role("radio").first).to_be_focused()
    expect(dialog.get_by_label("Reason")).to_have_value(WHY)


@pytest.mark.parametrize("start", ["operation", "failures"])
def test_a_policy_is_replaced_without_scripts_on_a_telephone(
    stage: Stage, start: str
) -> None:
    stage.options = {**TELEPHONE, "java_script_enabled": False}
    failed = failed_bind(stage)
    page = stage.open_page("admin")
    listed = "/failures/?code=IOTDA.015204"
    page.goto(listed if start == "failures" else failed.get_absolute_url())
    page.get_by_role("link", name=re.compile("^Replace a policy of")).click()
    page.get_by_role("radio").first.check()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("button", name="Unbind it and bind quarantine").click()
    if start == "failures":
        expect(page.get_by_text("Retried:")).to_be_visible()
        page.goto(failed.get_absolute_url())
    expect_replaced(page, stage, failed)


def test_a_lost_answer_is_confirmed_and_the_bind_sent(stage: Stage) -> None:
    failed = failed_bind(stage)
    page = stage.open_page("admin")
    page.goto(failed.get_absolute_url())
    page.get_by_role("link", name=re.compile("^Replace a policy of")).click()
    stage.cloud.fault("UnbindDevicePolicy", "drop", moment="after")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio").first.check()
    dialog.get_by_label("Reason").fill(WHY)
    dialog.get_by_role("button", name=re.compile("^Unbind .* and bind")).click()
    pair = page.locator("[data-pair]")
    expect(pair).to_contain_text("IoTDA gave no clear answer")
    stage.cloud.heal()
    while page.locator("[data-pair=unconfirmed]").count():
        with suppress(TimeoutError):  # It can be confirmed at this moment.
            pair.get_by_role("button", name="Check now").click(timeout=1000)
        expect(page.locator(".htmx-request")).to_have_count(0)
    expect(pair).to_contain_text("is not sent yet")
    pair.get_by_role("button", name="Bind quarantine now").click()
    expect_replaced(page, stage, failed)
