"""Text from IoTDA and users is escaped: no script runs, no CSP report appears."""

from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Target
from tests.cloud import Cloud
from tests.e2e.stage import Stage, noise
from tests.poison import GROUPS, MARK, NAME_PREFIX, PAYLOADS, Poisoned, store_poison

DRAWN = f"() => document.querySelectorAll('[{MARK}]').length"
# Names outside an element that isolates their direction or holds text only.
LOOSE = f"""() => {{
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), loose = []
  while (texts.nextNode()) {{
    const {{data, parentElement}} = texts.currentNode
    if (data.includes("{NAME_PREFIX}") && !parentElement.closest("bdi, option, pre, textarea, script"))
      loose.push(parentElement.outerHTML.slice(0, 60))
  }}
  return loose
}}"""
# Found besides the messages of the console.
REPORT = """addEventListener("securitypolicyviolation", e => console.error("CSP", e.violatedDirective))"""


def pages(state: Poisoned) -> list[Any]:
    policy, other = state.policies[:2]
    lists = [
        "/",
        "/devices/",
        "/devices/?q=script",
        "/policies/",
        "/operations/",
        "/failures/",
        "/inventory/",
    ]
    one = [f"/devices/{id}/" for id in [*state.devices[:5], *state.devices[-5:]]]
    forms = [f"/devices/{id}/freeze/" for id in state.devices[:5]]
    forms += [
        f"/policies/{policy}/bind/",
        "/devices/selection.paste/",
        "/accounts/rights/",
    ]
    policies = [f"/policies/{id}/" for id in state.policies] + [
        f"/policies/of.device/{state.devices[0]}/"
    ]
    policies += [f"/policies/of.target/{state.devices[0]}/"]
    unbind = "&".join(f"target={id}" for id in state.devices)
    policies += [f"/policies/{other}/unbind/?target_type=device&{unbind}"]
    of = [each.get_absolute_url() for each in state.operations]
    operations = [
        *of[:8],
        of[-1],
        f"{of[0]}targets/",
        f"{of[-1]}targets/",
        f"{of[0]}retry/",
        f"{of[0]}undo/",
    ]
    failures = ["/failures/?state=unknown", "/failures/?state=resolved"]
    codes = Target.objects.filter(state="failed").order_by("error_code").distinct()
    failures += [
        f"/failures/?code={quote(code)}"
        for code in codes.values_list("error_code", flat=True)[:5]
    ]
    kinds = ["operation.asked", "chunk.answered", "failure.noted"]
    events = [Event.objects.filter(kind=kind).last() for kind in kinds]
    events += Event.objects.filter(policy_id=policy)[:2]
    audit = [
        "/audit/",
        "/audit/codes/",
        "/audit/?kind=account.changed",
        f"/audit/?policy={policy}",
        *(f"/audit/{e.pk}/" for e in events),
    ]
    return [
        *lists,
        *one,
        *forms,
        *policies,
        *operations,
        *failures,
        *audit,
        "/admin/auth/user/",
    ]


@pytest.fixture
def state(inventory: Cloud, live_server: LiveServer, settings: Settings) -> Poisoned:
    settings.BATCH_TASK_ABOVE = 5
    return store_poison(inventory)


def test_no_page_runs_or_draws_injected_markup(state: Poisoned, stage: Stage) -> None:
    User.objects.filter(pk=stage.user("admin").pk).update(
        is_staff=True, is_superuser=True
    )
    page = stage.open_page("admin")
    page.add_init_script(REPORT)
    drawn, loose, text = {}, {}, ""
    for url in pages(state):
        answer = page.goto(url)
        assert answer.status in (200, 502), url
        drawn[url], loose[url] = page.evaluate(DRAWN), page.evaluate(LOOSE)
        text += unescape(answer.text())
    assert [
        payload for payload in PAYLOADS if payload.replace("\0", "") not in text
    ] == []
    by_hand(page, state)
    drawn["by hand"], loose["by hand"] = page.evaluate(DRAWN), page.evaluate(LOOSE)
    assert {url: n for url, n in drawn.items() if n} == {}
    assert {url: where for url, where in loose.items() if where} == {}


def by_hand(page: Page, state: Poisoned) -> None:
    """Open what htmx fetches: a dialog, a search, a choice, a preview."""
    page.goto("/devices/")
    page.locator(f"#device-{state.devices[0]} .button").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.goto(f"/policies/{state.policies[0]}/bind/")
    page.get_by_label("Find devices").fill("alert")
    expect(page.locator("#found li .button").first).to_be_visible()
    page.locator("#found li .button[type=submit]").first.click()
    expect(page.locator("#chosen .chip")).to_have_count(1)


@pytest.mark.parametrize("policy", ["", "default-src 'none'; script-src 'self'"])
def test_an_unescaped_page_is_detected(chromium: Browser, policy: str) -> None:
    heard: list[str] = []
    page = chromium.new_page()
    noise(page, heard)
    headers = {"Content-Security-Policy": policy} if policy else {}
    body = "<!doctype html><p>" + "<p>".join([*PAYLOADS[:4], *GROUPS])
    page.route(
        "http://desk/**",
        lambda route: route.fulfill(
            body=body, headers=headers, content_type="text/html"
        ),
    )
    page.goto("http://desk/")
    assert page.evaluate(DRAWN) > 0
    assert any(("Security Policy" if policy else "dialog") in line for line in heard)
    page.context.close()
