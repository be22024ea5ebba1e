"""What the browser loads for a first page, and the theme that it has from the start."""

from playwright.sync_api import Request, expect

from tests.e2e.stage import Stage


def test_a_page_needs_one_style_sheet_and_two_scripts(stage: Stage) -> None:
    page, loaded = stage.open_page("viewer"), list[Request]()
    page.on("request", lambda request: loaded.append(request))
    page.goto("/devices/")
    page.wait_for_load_state("load")
    kinds = sorted(request.resource_type for request in loaded)
    assert kinds == ["document", "script", "script", "stylesheet"]


def test_the_server_sends_the_theme_that_was_chosen(stage: Stage) -> None:
    page = stage.open_page("viewer")
    page.goto("/")
    for theme in ("light", "dark", ""):
        page.get_by_role("button", name="Theme").click()
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        # Without it, the page would show the other theme until a script has run.
        assert f'data-theme="{theme}">' in page.request.get("/devices/").text()
    page.evaluate("() => { document.cookie = 'iotda_admin_theme=odd;path=/' }")
    assert 'data-theme="">' in page.request.get("/devices/").text()
