"""Policies, their targets, and binding."""

import re

from playwright.sync_api import expect

from tests.e2e.stage import Stage
from tests.e2e.tours.common import Views


def binding(stage: Stage) -> Views:
    page = stage.open_page("admin")
    known = stage.cloud.known_ids
    page.goto(f"/policies/{known['policy']}/bind/")
    yield "bind-empty", page
    page.get_by_label("Find devices").fill("pump")
    expect(page.locator("#found li .button").first).to_be_visible()
    for number in range(3):
        page.locator("#found li .button[type=submit]").first.click()
        expect(page.locator("#chosen .chip")).to_have_count(number + 1)
    yield "bind-filled", page
    page.get_by_text("Paste or upload IDs").click()
    page.get_by_label(re.compile("^IDs")).fill(
        "\n".join(f"device_{n}" for n in range(60))
    )
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("63 targets")).to_be_visible()
    yield "bind-checked", page
    page.get_by_label(re.compile("^IDs")).fill(
        "\n".join([known["full"], known["online"], "not-yet-synced"])
    )
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("1 cannot change")).to_be_visible()
    yield "bind-lists", page
    page.get_by_label(re.compile("^IDs")).fill("good_one\nbad one!\nother/bad")
    page.get_by_role("button", name="Bind", exact=True).click()
    expect(page.locator("[aria-invalid=true]").first).to_be_focused()
    yield "bind-errors", page
    for kind, name in [("product", "Products"), ("app", "A whole resource space")]:
        page.get_by_role("button", name=name).click()
        expect(page.locator(f'[value="kind:{kind}"]')).to_have_attribute(
            "aria-pressed", "true"
        )
        page.locator("#found li .button").first.click()
        expect(page.locator("#chosen .chip")).to_have_count(1)
        yield f"bind-{kind}", page
        page.get_by_role("button", name="Bind", exact=True).click()
        expect(page.locator("[aria-invalid=true]").first).to_be_focused()
        yield f"bind-{kind}-errors", page


def policy(stage: Stage) -> Views:
    page = stage.open_page("admin")
    known = stage.cloud.known_ids
    stage.ask(
        "policy.bind",
        stage.cloud.free(2),
        who=stage.user("admin"),
        policy=known["policy"],
    )
    page.goto(f"/policies/{known['policy']}/")
    yield "policy", page
    page.locator("#targets .button").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Unbind")
    yield "unbind", page
    page.get_by_role("button", name="Unbind").click()
    expect(page.locator(".error").first).to_be_visible()
    yield "unbind-errors", page
    stage.cloud.fault("ShowDevicePolicy", "status", status=500)
    page.goto(f"/policies/{known['policy']}/")
    yield "policy-unreachable", page


def topics(stage: Stage) -> Views:
    page = stage.open_page("viewer")
    device = stage.cloud.known_ids["full"]
    page.goto(f"/devices/{device}/")
    answer = page.locator("#topic-access")
    for name, topic in [
        ("allowed", "/alarms"),
        ("denied", f"/v1/{device}/debug/x"),
        ("invalid", "$oc/devices"),
    ]:
        page.get_by_label("Topic").fill(topic)
        page.get_by_role("button", name="Check", exact=True).click()
        word = {"allowed": "Yes.", "denied": "No.", "invalid": "$oc"}[name]
        expect(answer).to_contain_text(word)
        yield f"topic-{name}", page
    page.goto(f"/policies/of.device/{device}/")
    page.locator("#fold-rules > summary").click()
    yield "topic-rules", page
