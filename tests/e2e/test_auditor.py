"""An auditor follows a ticket to its operation, by mouse and by keyboard."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.stage import Stage
from tests.e2e.test_keyboard import tab_to

TICKET = "INC-4711"


@pytest.fixture
def asked(stage: Stage) -> list[Any]:
    """Bind a policy to two devices; one already has the most policies allowed."""
    ids = [stage.cloud.free(1)[0], stage.cloud.known_ids["full"]]
    stage.ask(
        "policy.bind",
        ids,
        who=stage.user("policy admin"),
        policy=stage.cloud.known_ids["policy"],
    )
    return ids


def says_it_all(page: Page, asked: list[str]) -> None:
    row = page.locator("tr", has=page.locator("details[open]"))
    expect(row).to_contain_text("policyadmin")
    expect(row).to_contain_text("Unpaid since March")
    expect(row.get_by_role("link", name=re.compile("OP-"))).to_be_visible()
    ended = row.locator("li")
    expect(ended).to_have_count(2)
    expect(ended.filter(has_text="Failed")).to_contain_text("IOTDA.015204")
    expect(ended.filter(has_text=re.compile("OK|Succeeded|Done"))).to_be_visible()


def has_every_target(path: Path, asked: list[str]) -> None:
    with open(path, newline="", encoding="utf-8-sig") as file:
        ended = {
            row["target_id"]: row["target_outcome"]
            for row in csv.DictReader(file)
            if row["target_outcome"]
        }
    assert ended == dict(zip(asked, ["ok", "failed"], strict=True))


def test_an_auditor_finds_an_operation_in_four_clicks(
    stage: Stage, asked: list[Any]
) -> None:
    page = stage.open_page("auditor")
    page.goto("/")
    page.get_by_role("link", name="Audit").click()
    page.get_by_label("Search the audit trail").fill(TICKET)
    page.get_by_role("button", name="Find").first.click()
    expect(page.locator(".chip")).to_contain_text(TICKET)
    row = page.locator("tr", has_text="Answered")
    row.locator("summary").click()
    says_it_all(page, asked)
    with page.expect_download() as taken:
        page.get_by_role("link", name="Download CSV").click()
    assert TICKET in taken.value.suggested_filename
    has_every_target(taken.value.path(), asked)


def test_an_auditor_finds_an_operation_without_a_mouse(
    stage: Stage, asked: list[Any]
) -> None:
    stage.options = {"timezone_id": "Asia/Shanghai"}
    page = stage.open_page("auditor")
    page.goto("/")
    tab_to(page, 'a[href="/audit/"]')
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Audit")
    # The browser has sent its time zone by now.
    expect(page.locator("thead")).to_contain_text("Asia/Shanghai (UTC+08:00)")
    # Its script listens to the keyboard.
    page.wait_for_load_state()
    page.keyboard.press("/")
    page.keyboard.type(f"{TICKET}\n")
    expect(page.locator(".chip")).to_contain_text(TICKET)
    row = page.locator("tr", has_text="Answered")
    fold = row.locator("details")
    tab_to(page, f"#{fold.get_attribute('id')} > summary")
    page.keyboard.press("Enter")
    says_it_all(page, asked)
    tab_to(page, "#csv", "Shift+Tab")
    with page.expect_download() as taken:
        page.keyboard.press("Enter")
    has_every_target(taken.value.path(), asked)
