"""htmx swaps, history, polling and error responses."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.sync_api import Page, Request, expect

from devices.models import Device
from iotda_admin.access.actor import Actor
from iotda_admin.core.time_zone import zone_named
from iotda_admin.operations.execution.executor import execute_chunk
from iotda_admin.operations.execution.lifecycle import cancel_operation
from iotda_admin.operations.models import Operation
from iotda_admin.rate.connection import client
from tests.e2e.stage import Stage, Worker

WHY = "Unpaid since March"
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"
BOXES = "rows => rows.map(row => JSON.stringify(row.getBoundingClientRect()))"


@pytest.fixture
def page(stage: Stage) -> Page:
    return stage.open_page("admin")


def is_whole(page: Page) -> bool:
    return (
        page.locator("html > body > .shell .nav").count() == 1
        and page.locator("link[rel=stylesheet]").count() == 1
    )


def freeze(page: Page, device: str) -> None:
    page.locator(f"#device-{device} .button").click()
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("dialog").get_by_role("button", name="Freeze").click()


def bind(page: Page, stage: Stage, *devices: str) -> None:
    page.goto(f"/policies/{stage.cloud.known_ids['policy']}/bind/")
    page.get_by_text("Paste or upload IDs").click()
    page.get_by_label(re.compile("^IDs")).fill("\n".join(devices))
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("button", name="Bind", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("OP-")


def test_the_browser_never_shows_a_bare_fragment(page: Page, stage: Stage) -> None:
    page.goto("/")
    page.goto("/devices/")
    page.get_by_label("Status", exact=True).select_option("FROZEN")
    expect(page.locator("#rows tbody tr")).to_have_count(2)
    page.get_by_role("link", name=re.compile("^Füllstand|^Test bench")).first.click()
    expect(
        page.get_by_role("heading", level=2, name="Policies in effect")
    ).to_be_visible()
    page.go_back()
    expect(page.locator("#rows tbody tr")).to_have_count(2)
    assert is_whole(page)
    expect(page.get_by_label("Status", exact=True)).to_have_value("FROZEN")
    page.go_back()
    expect(page.get_by_text("60 devices")).to_be_visible()
    assert is_whole(page)
    page.go_forward()
    expect(page.locator("#rows tbody tr")).to_have_count(2)
    page.reload()
    assert is_whole(page)


def test_the_url_has_only_the_active_filters(page: Page) -> None:
    page.goto("/devices/")
    page.get_by_label("Status", exact=True).select_option("FROZEN")
    page.wait_for_url("**/devices/?status=FROZEN")
    page.get_by_label("Status", exact=True).select_option("")
    page.wait_for_url("**/devices/")


def type_slowly(page: Page, text: str) -> None:
    """Type one letter after the other, and wait for what each one finds."""
    for letter in text:
        with page.expect_response(
            lambda response: "hx-request" in response.request.headers
        ):
            page.locator("#q").press_sequentially(letter)


def test_one_back_leaves_a_search_that_was_typed_slowly(page: Page) -> None:
    page.goto("/policies/")
    page.goto("/devices/")
    page.get_by_label("Status", exact=True).select_option("FROZEN")
    page.wait_for_url("**/devices/?status=FROZEN")
    before = page.evaluate("history.length")
    type_slowly(page, "bench")
    page.wait_for_url("**/devices/?q=bench&status=FROZEN")
    page.locator("#q").press("Enter")
    expect(page.locator(".htmx-request")).to_have_count(0)
    assert page.evaluate("history.length") == before
    page.go_back()
    page.wait_for_url("**/devices/")
    expect(page.get_by_text("60 devices")).to_be_visible()
    page.go_back()
    page.wait_for_url("**/policies/")


@pytest.mark.parametrize("path", ["/devices/", "/policies/selection.bind/"])
def test_a_half_typed_text_of_an_input_method_is_not_searched(
    page: Page, stage: Stage, path: str
) -> None:
    device = Device.objects.get(pk=stage.cloud.free(1)[0])
    Device.objects.filter(pk=device.pk).update(name="水泵", search_text="水泵")
    page.goto(path)
    sent: list[str] = []

    def hear(request: Request) -> None:
        if "hx-request" in request.headers:
            sent.append(unquote(f"{request.url} {request.post_data}"))

    page.on("request", hear)
    page.locator("#q").focus()
    keyboard = page.context.new_cdp_session(page)
    # The search for the first character waits for more when the second one begins.
    keyboard.send("Input.insertText", {"text": "水"})
    for text in ("b", "beng", "泵"):
        place = {"selectionStart": len(text), "selectionEnd": len(text)}
        keyboard.send("Input.imeSetComposition", {"text": text, **place})
        page.wait_for_timeout(400)
    assert not any("水泵" in each or "水b" in each for each in sent)
    with page.expect_response(
        lambda response: "hx-request" in response.request.headers
    ):
        keyboard.send("Input.insertText", {"text": "泵"})
    expect(page.locator("#q")).to_have_value("水泵")
    expect(page.get_by_text("水泵", exact=True).first).to_be_visible()
    assert sum("水泵" in each for each in sent) == 1


def test_back_from_a_result_shows_a_whole_page(page: Page, stage: Stage) -> None:
    bind(page, stage, *stage.cloud.free(1))
    expect(page).to_have_title(re.compile("^OP-"))
    page.go_back()
    expect(page.get_by_label("Reason")).to_be_visible()
    assert is_whole(page)
    page.go_forward()
    expect(page.get_by_role("heading", level=1)).to_contain_text("OP-")
    assert is_whole(page)


def test_a_swap_without_a_session_returns_after_the_login(
    page: Page, stage: Stage
) -> None:
    page.goto("/devices/?status=FROZEN")
    Session.objects.all().delete()
    page.get_by_label("Product").select_option("")
    page.get_by_label("Search devices").fill("bench")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("a-password-1")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/devices/?status=FROZEN")
    assert is_whole(page)


def test_the_page_of_a_running_operation_polls_until_it_ends(
    page: Page, stage: Stage, worker: Worker
) -> None:
    devices = list(Device.objects.values_list("pk", flat=True)[:25])
    operation = stage.ask(
        "policy.bind",
        devices,
        who=stage.user("admin"),
        policy=stage.cloud.known_ids["other_policy"],
    )
    page.goto(operation.get_absolute_url())
    expect(page.locator("#progress-label")).to_have_text("0 of 25 answered")
    expect(page.get_by_text("Show the current progress")).to_be_hidden()
    worker.start()
    expect(page.locator("progress")).to_have_count(0, timeout=60000)
    expect(page.locator("#operation[hx-trigger^=every]")).to_have_count(0)


@pytest.fixture
def running(stage: Stage) -> Any:
    """Return an operation of three chunks; the first has failed."""
    policy = stage.cloud.known_ids["policy"]
    operation = stage.ask(
        "policy.bind",
        [f"nobody-{n}" for n in range(60)],
        who=stage.user("admin"),
        policy=policy,
    )
    execute_chunk(operation.chunks.get(number=1), client())
    return operation


def polled(page: Page) -> None:
    with page.expect_response(
        lambda response: "hx-request" in response.request.headers
    ):
        pass
    page.wait_for_function("() => !document.querySelector('.htmx-request')")


def test_a_poll_keeps_folds_open_or_closed(page: Page, running: Any) -> None:
    page.goto(running.get_absolute_url())
    fold = page.locator(".failure details")
    expect(fold).to_have_attribute("open", "")
    fold.locator("summary").click()
    polled(page)
    expect(fold).not_to_have_attribute("open", "")
    fold.locator("summary").click()
    polled(page)
    expect(fold).to_have_attribute("open", "")


def test_a_poll_keeps_the_focus(page: Page, running: Any) -> None:
    page.goto(running.get_absolute_url())
    for query in (
        ".failure summary",
        ".targets li:nth-child(3) a",
        "[data-copy]",
        "#cancel",
    ):
        page.locator(query).first.focus()
        polled(page)
        expect(page.locator(query).first).to_be_focused()


def test_a_poll_does_not_scroll(page: Page, running: Any) -> None:
    page.set_viewport_size({"width": 1000, "height": 400})
    page.goto(running.get_absolute_url())
    page.mouse.wheel(0, 300)
    page.wait_for_function("() => scrollY > 0")
    before = page.evaluate("scrollY")
    polled(page)
    assert page.evaluate("scrollY") == before


def test_a_cancel_swaps_the_result_and_stops_polling(page: Page, running: Any) -> None:
    page.goto(running.get_absolute_url())
    page.get_by_role("link", name="Cancel the rest").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_be_focused()
    dialog.get_by_role("button", name="Cancel the rest").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".counts [data-state=cancelled] b")).to_have_text("40")
    expect(page.locator("#operation[hx-trigger^=every]")).to_have_count(0)
    assert is_whole(page)


def test_the_cancel_page_works_outside_the_dialog(page: Page, running: Any) -> None:
    page.goto(f"{running.get_absolute_url()}cancel/")
    expect(page.get_by_role("link", name="Continue sending")).to_be_focused()
    page.get_by_role("button", name="Cancel the rest").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Cancelled")
    page.goto(f"{running.get_absolute_url()}cancel/")
    page.get_by_role("link", name=str(running)).click()
    expect(page.locator(".counts [data-state=cancelled] b")).to_have_text("40")


def test_a_device_is_frozen_from_its_own_page(page: Page, stage: Stage) -> None:
    device = stage.cloud.known_ids["online"]
    page.goto(f"/devices/{device}/")
    page.get_by_role("link", name="Freeze", exact=True).click()
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("button", name="Freeze").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("OP-")
    assert stage.cloud.status(device) == "FROZEN"


def test_the_summary_is_copied_whole(page: Page, running: Any) -> None:
    cancel_operation(running, Actor(running.actor, "admin", "test"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(running.get_absolute_url())
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_attached()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"{running}: Bind quarantine, 60 devices")
    assert copied.endswith(running.get_absolute_url())


def test_messages_of_iotda_are_escaped(page: Page, stage: Stage) -> None:
    stage.cloud.fault(
        "BindDevicePolicy",
        "status",
        status=403,
        error_code="IOTDA.1<b>",
        error_msg=EVIL,
    )
    bind(page, stage, *stage.cloud.free(1))
    expect(page.locator("blockquote").first).to_have_text(EVIL)
    assert page.locator("main img, main script, main b:has-text('alert')").count() == 0


def test_a_device_name_is_escaped(page: Page, stage: Stage) -> None:
    device = stage.cloud.known_ids["online"]
    stage.cloud.call("PATCH", f"devices/{device}", json={"device_name": EVIL})
    page.goto(f"/devices/{device}/")
    expect(page.get_by_role("heading", level=1)).to_contain_text(EVIL)
    page.goto(f"/devices/?q={device}")
    freeze(page, device)
    expect(page.get_by_role("status")).to_contain_text(f"{EVIL} is frozen")
    assert page.locator("main img, main script").count() == 0


def test_a_swapped_row_does_not_move_the_page(page: Page, stage: Stage) -> None:
    device = stage.cloud.known_ids["online"]
    page.goto(f"/devices/?product={Device.objects.get(pk=device).product_id}")
    before = page.locator("#rows tr, #rows th").evaluate_all(BOXES)
    freeze(page, device)
    expect(page.locator(f"#device-{device}")).to_contain_text("Frozen")
    assert page.locator("#rows tr, #rows th").evaluate_all(BOXES) == before


def test_a_message_leaves_after_a_while_or_when_it_is_dismissed(
    page: Page, stage: Stage
) -> None:
    device = stage.cloud.known_ids["online"]
    page.goto(f"/devices/?q={device}")
    freeze(page, device)
    message = page.get_by_role("status")
    expect(message).to_contain_text("is frozen")
    message.hover()
    page.wait_for_timeout(7000)
    expect(message).to_contain_text("is frozen")
    page.mouse.move(0, 0)
    expect(message).to_be_empty(timeout=5000)
    page.locator(f"#device-{device} .button").click()
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("dialog").get_by_role("button", name="Unfreeze").click()
    expect(message).to_contain_text("is no longer frozen")
    page.get_by_role("button", name="Dismiss").click()
    expect(message).to_be_empty()


def test_the_menu_marks_the_page_that_a_swap_shows(page: Page, stage: Stage) -> None:
    current = page.locator(".nav [aria-current=page]")
    page.goto("/policies/")
    expect(current).to_have_text(re.compile("Policies"))
    bind(page, stage, *stage.cloud.known_ids["free"][:1])
    expect(current).to_have_text(re.compile("Operations"))
    page.goto("/devices/")
    page.get_by_label("Search", exact=False).first.fill("pump")
    page.wait_for_url("**q=pump**")
    expect(current).to_have_text(re.compile("Devices"))


def test_a_failed_freeze_keeps_the_dialog_open_and_shows_why(
    page: Page, stage: Stage
) -> None:
    device = stage.cloud.known_ids["online"]
    stage.cloud.fault(
        "FreezeDevice", "status", status=403, error_code="IOTDA.000022", error_msg="No."
    )
    page.goto(f"/devices/?q={device}")
    freeze(page, device)
    expect(page.get_by_role("dialog")).to_contain_text("IOTDA.000022")
    page.keyboard.press("Escape")
    expect(page.locator(f"#device-{device}")).to_contain_text("Online")


def test_a_rejection_is_shown_inside_the_open_dialog(page: Page, stage: Stage) -> None:
    device = stage.cloud.known_ids["online"]
    page.goto(f"/devices/?q={device}")
    page.locator(f"#device-{device} .button").click()
    page.get_by_label("Reason").fill(WHY)
    stage.user("admin").groups.clear()
    page.get_by_role("dialog").get_by_role("button", name="Freeze").click()
    alert = page.get_by_role("dialog").get_by_role("alert")
    expect(alert).to_contain_text("Your role does not allow this")
    page.get_by_role("button", name="Dismiss").click()
    expect(alert).to_be_empty()
    page.keyboard.press("Escape")
    expect(page.locator("body > .notices")).to_be_attached()


def test_the_first_invalid_field_gets_the_focus(page: Page, stage: Stage) -> None:
    page.goto(f"/policies/{stage.cloud.known_ids['policy']}/bind/")
    page.get_by_text("Paste or upload IDs").click()
    page.get_by_label(re.compile("^IDs")).fill("a/b")
    page.get_by_role("button", name="Bind", exact=True).click()
    expect(page.get_by_label(re.compile("^IDs"))).to_be_focused()


def test_binding_a_whole_space_requires_its_name(page: Page, stage: Stage) -> None:
    known = stage.cloud.known_ids
    page.goto(f"/policies/{known['policy']}/bind/")
    page.get_by_role("button", name="A whole resource space").click()
    page.locator(f'[value="add:{known["other_space"]}"]').click()
    page.get_by_label("Send them to IoTDA anyway").check()
    page.get_by_label("Type this to confirm").fill("plant-nowhere")
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("button", name="Bind", exact=True).click()

    expect(page.locator("#space_name-error")).to_contain_text("exactly")
    expect(page.get_by_label("Type this to confirm")).to_have_value("plant-nowhere")
    expect(page.get_by_label("Reason")).to_have_value(WHY)
    assert stage.cloud.bound(known["policy"], "app") == set()

    page.get_by_label("Type this to confirm").fill(
        page.locator('label[for="space_name"] bdi').inner_text()
    )
    page.get_by_role("button", name="Bind", exact=True).click()
    expect(page.locator(".counts [data-state=ok] b")).to_have_text("1")
    assert stage.cloud.bound(known["policy"], "app") == {known["other_space"]}


def test_a_recent_time_shows_its_age_and_the_exact_time_as_title(stage: Stage) -> None:
    stage.options = {"timezone_id": "Asia/Shanghai", "locale": "de-DE"}
    at = timezone.now() - timedelta(minutes=5)
    old = datetime(2026, 1, 2, 15, 4, 5, tzinfo=UTC)
    for created_at in (at, old, timezone.now()):
        Operation.objects.create(
            verb="device.freeze", target_type="device", created_at=created_at
        )
    page = stage.open_page("auditor")
    page.clock.install()
    page.goto("/")
    page.goto("/operations/")
    times = page.locator("tbody time")
    expect(times.nth(0)).to_have_text("just now")
    expect(times.nth(1)).to_have_text("2026-01-02 23:04")
    expect(times.nth(2)).to_have_text("5 minutes ago")
    exact = f"{at.astimezone(zone_named('Asia/Shanghai')):%Y-%m-%d %H:%M:%S} UTC+08:00"
    expect(times.nth(2)).to_have_attribute("title", exact)
    # On paper an age would be wrong soon.
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(times.nth(2)).to_have_text(exact[:16])
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(times.nth(2)).to_have_text("5 minutes ago")
    page.clock.fast_forward("02:00:00")
    expect(times.nth(2)).to_have_text("2 hours ago")
    page.clock.fast_forward("30:00:00")
    expect(times.nth(2)).to_have_text(exact[:16])


def test_what_cannot_change_is_shown_and_downloaded_before_it_is_bound(
    page: Page, stage: Stage
) -> None:
    known = stage.cloud.known_ids
    page.goto(f"/policies/{known['policy']}/bind/")
    page.get_by_text("Paste or upload IDs").click()
    page.get_by_label(re.compile("^IDs")).fill(f"{known['full']}\n{known['free'][0]}")
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("button", name="Bind", exact=True).click()
    cannot = page.locator("#list-cannot")
    expect(cannot).to_contain_text("has its five policies already")
    with page.expect_download() as taken:
        cannot.get_by_role("button", name="CSV").click()
    assert known["full"] in Path(taken.value.path()).read_text()
    cannot.get_by_role("button", name="Leave these out").click()
    expect(cannot).to_have_count(0)
    page.get_by_role("button", name="Bind", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("OP-")


def test_each_row_of_the_list_can_copy_its_id(page: Page, stage: Stage) -> None:
    """Also a row that came with a swap: the script adds the buttons."""
    device = Device.objects.get(pk=stage.cloud.known_ids["online"])
    page.goto("/devices/")
    rows = page.locator("#rows tbody tr")
    expect(rows.locator(".copy")).to_have_count(rows.count())
    page.get_by_label("Search devices").fill(device.pk)
    expect(rows).to_have_count(1)
    button = page.locator(f"#device-{device.pk}").get_by_role("button")
    expect(button).to_have_accessible_name(f"Copy the ID of {device}")
    expect(button).to_have_attribute("data-copy", device.pk)
    freeze(page, device.pk)
    expect(page.locator(f"#device-{device.pk} .copy")).to_have_count(1)
