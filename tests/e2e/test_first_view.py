"""What the browser loads for a first page, and the theme that it has from the start."""

from pathlib import Path

from django.core.management import call_command
from playwright.sync_api import Request, expect
from pytest_django import Settings

from tests.e2e.stage import Stage

ROOT = Path(__file__).resolve().parent.parent.parent
RULES = """text => {
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(text)
    return [...sheet.cssRules].map(rule => rule.cssText).join()
}"""


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


def test_the_style_sheet_and_the_script_are_sent_without_comments(
    stage: Stage, settings: Settings, tmp_path: Path
) -> None:
    settings.STATIC_ROOT = tmp_path
    storage = "iotda_admin.core.static_files.CompressedStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": storage}}
    call_command("collectstatic", verbosity=0, interactive=False)
    [style], [script] = tmp_path.glob("app.*.css"), tmp_path.glob("app.*.js")
    page = stage.open_page()
    page.goto("about:blank")
    # What the browser understands of it is the same as before.
    rules = [
        page.evaluate(RULES, (folder / name).read_text())
        for folder, name in ((ROOT / "static", "app.css"), (tmp_path, style.name))
    ]
    assert rules[0] == rules[1]
    text = script.read_text()
    assert [line for line in text.splitlines() if line.startswith("//")] == []
    page.evaluate("text => { new Function(text) }", text)
    assert "/*" not in style.read_text()
