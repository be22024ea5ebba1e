"""The list of failures."""

import re

from playwright.sync_api import expect

from tests.e2e.stage import Stage
from tests.e2e.tours.common import WHY, Views


def failures(stage: Stage) -> Views:
    """Show failures, from open to resolved."""
    page = stage.open_page("admin")
    known, me = stage.cloud.known_ids, stage.user("admin")
    page.goto("/failures/")
    yield "failures-none", page
    policy, free = known["policy"], stage.cloud.free(10)
    stage.ask("policy.bind", [known["full"], "nobody_knows-it"], who=me, policy=policy)
    stage.ask("device.freeze", [known["child"]], who=me)
    stage.cloud.fault("BindDevicePolicy", "drop", moment="after")
    stage.ask("policy.bind", free[:2], who=me, policy=policy)
    stage.cloud.heal()
    stage.cloud.fault(
        "FreezeDevice",
        "status",
        status=400,
        error_code="IOTDA.999999",
        error_msg="Melted.",
    )
    stage.ask("device.freeze", free[2:3], who=me)
    stage.cloud.heal()
    for name, url in [
        ("failures", "/failures/"),
        ("failures-filtered", "/failures/?owner=me"),
        ("failures-unknown", "/failures/?state=unknown"),
        ("failures-hopeless", "/failures/?code=not_directly_connected"),
        ("failures-group", "/failures/?code=IOTDA.015204"),
    ]:
        page.goto(url)
        yield name, page
    page.get_by_text("Its policies", exact=True).click()
    expect(page.get_by_text("5 of 5 used")).to_be_visible()
    page.get_by_label(re.compile("^Select (?!all)")).first.check()
    yield "failures-policies", page
    page.get_by_role("button", name="Take").click()
    expect(page.get_by_text("Assigned to you.")).to_be_visible()
    yield "failures-taken", page
    for button, name in [("Note", "note"), ("Resolve", "solve")]:
        page.get_by_label(re.compile("^Select (?!all)")).first.check()
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_role("link", name="Cancel")).to_be_visible()
        yield f"failures-{name}", page
        page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name=re.compile("^Retry .")).click()
    expect(page.get_by_label("Reason")).to_have_value(WHY)
    yield "failures-retry", page
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Retried:")).to_be_visible()
    yield "failures-asked", page
    page.goto("/failures/?code=IOTDA.999999")
    page.get_by_label(re.compile("^Select (?!all)")).first.check()
    page.get_by_role("button", name="Resolve", exact=True).click()
    page.get_by_label("Resolved because").fill("The device was scrapped")
    page.get_by_role("button", name="Resolve").click()
    expect(page.get_by_text("No open failures here.")).to_be_visible()
    yield "failures-all-resolved", page
    page.goto("/failures/?state=resolved")
    yield "failures-resolved", page
    page.goto(f"/policies/of.target/{known['full']}/")
    yield "policies-of-target", page
