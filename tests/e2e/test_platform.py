"""A page that stays open shows how IoTDA answers, without moving what is on it."""

from contextlib import suppress

from playwright.sync_api import Page, expect

from iotda_admin.iotda import IotdaError
from iotda_admin.rate.connection import client
from tests.e2e.stage import Stage
from tests.e2e.tours.common import CHECK_PLATFORM

TOP = "document.querySelector('h1').getBoundingClientRect().top"


def call(stage: Stage, status: int = 200) -> None:
    stage.cloud.heal()
    if status != 200:
        stage.cloud.fault("ShowDevice", "status", status=status)
    with suppress(IotdaError):
        client().show_device(stage.cloud.known_ids["online"])


def test_an_open_page_shows_a_failure_and_its_end_and_nothing_moves(
    stage: Stage,
) -> None:
    page = stage.open_page("viewer")
    page.goto("/devices/")
    top = page.evaluate(TOP)
    warning = page.get_by_role("status").filter(has_text="IoTDA")
    expect(warning).to_have_count(0)
    call(stage, 401)
    page.evaluate(CHECK_PLATFORM)
    expect(warning).to_contain_text("IoTDA has refused our credentials since")
    assert page.evaluate(TOP) == top
    call(stage)
    page.evaluate(CHECK_PLATFORM)
    expect(warning).to_contain_text("IoTDA answers again.")
    assert page.evaluate(TOP) == top
    page.get_by_role("button", name="Dismiss").filter(visible=True).click()
    expect(warning).to_have_count(0)


def test_the_end_of_a_failure_leaves_the_page_where_it_is(stage: Stage) -> None:
    page = stage.open_page("viewer")
    call(stage, 401)
    page.goto("/devices/")
    expect(page.locator("main #platform")).to_contain_text("IoTDA has refused")
    call(stage)
    below = top_of(page)
    page.evaluate(CHECK_PLATFORM)
    expect(page.locator("main #platform")).to_contain_text("IoTDA answers again.")
    assert top_of(page) == below
    page.goto("/devices/")
    expect(page.locator("main #platform")).to_have_count(0)


def test_the_overview_follows_the_warning(stage: Stage) -> None:
    page = stage.open_page("viewer")
    page.goto("/")
    card = page.get_by_role("region", name="IoTDA", exact=True)
    expect(card).to_contain_text("Answered the last call")
    call(stage, 401)
    page.evaluate(CHECK_PLATFORM)
    expect(card).to_contain_text("Credentials refused")
    call(stage)
    page.evaluate(CHECK_PLATFORM)
    expect(card).to_contain_text("Answered the last call")


def top_of(page: Page) -> float:
    return float(page.evaluate(TOP))


def test_a_page_in_the_background_does_not_poll(stage: Stage) -> None:
    page = stage.open_page("viewer")
    page.goto("/devices/")
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url))
    page.evaluate("Object.defineProperty(document, 'hidden', {get: () => true})")
    page.evaluate(CHECK_PLATFORM)
    page.wait_for_timeout(300)
    assert [url for url in polls if "/platform/" in url] == []
