"""Every page in its important states, for axe and `python -m tests.e2e.shots`."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils.timezone import now
from playwright.sync_api import Page, expect

from devices.models import Device
from iotda_admin.access.actor import Actor
from iotda_admin.accounts import login_throttle, password_checks
from iotda_admin.inventory.models import SyncRun
from iotda_admin.iotda import IotdaError
from iotda_admin.operations.execution.executor import execute_chunk, execute_due_chunks
from iotda_admin.operations.execution.lifecycle import cancel_operation
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.rate.connection import client
from policies.models import Policy
from tests.conftest import make_user
from tests.e2e.stage import Stage
from tests.samples import SAMPLES, known_objects

type Views = Iterator[tuple[str, Page]]
WHY = "Unpaid since March"
PLACES = settings.PASSWORD_CHECKS_AT_ONCE + settings.PASSWORD_CHECKS_WAITING
CHECK_PLATFORM = "document.dispatchEvent(new Event('visibilitychange'))"


@contextmanager
def waiting_sign_in() -> Iterator[None]:
    """Take a place among the sign-ins that wait."""
    password_checks.queue.acquire()
    try:
        yield
    finally:
        password_checks.queue.release()


def signing_in(stage: Stage) -> Views:
    page = stage.open_page()
    page.goto("/nowhere")
    yield "nowhere-for-nobody", page
    page.goto("/accounts/login/")
    yield "login", page
    page.get_by_label("User name").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    yield "login-failed", page
    with ExitStack() as others:
        for _place in range(PLACES):
            others.enter_context(waiting_sign_in())
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Many users are signing in")).to_be_visible()
        yield "login-busy", page
    page.goto("/devices/?status=FROZEN")
    yield "login-and-return", page
    page.goto("/accounts/login/?next=/devices/&ended=idle")
    yield "login-after-idling", page
    for _try in range(settings.LOGIN_TRIES):
        login_throttle.count_attempt("operator", "127.0.0.1")
    page.get_by_label("User name").fill("operator")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Too many wrong passwords.")).to_be_visible()
    yield "login-locked", page
    page = stage.open_page("viewer")
    page.goto("/accounts/password/")
    for label in ("Current password", "New password", "New password again"):
        page.get_by_label(label, exact=True).fill("wrong")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("This is not your password.")).to_be_visible()
    yield "password-not-changed", page
    page.goto("/accounts/password/?changed=1")
    yield "password-changed", page


def lists(stage: Stage) -> Views:
    page = stage.open_page("admin")
    known = stage.cloud.known_ids
    for name, url in [
        ("devices", "/devices/"),
        ("devices-filtered", "/devices/?status=FROZEN&node_type=GATEWAY"),
        ("devices-none", "/devices/?q=no-such-device"),
        ("devices-wrong-filter", "/devices/?status=MELTED"),
        ("policies", "/policies/"),
    ]:
        page.goto(url)
        yield name, page
    page.goto("/devices/")
    for box in page.get_by_label(re.compile("^Select (?!all)")).all()[:3]:
        box.check()
    yield "devices-selected", page
    page.get_by_role("button", name=re.compile("^Freeze")).click()
    # Wait for the next page; in between, the page is neither of the two.
    expect(page.get_by_label("Reason")).to_be_visible()
    yield "freeze-many", page
    page.goto("/devices/selection.paste/")
    yield "paste", page
    page.get_by_label(re.compile("^IDs")).fill("good_one\nbad one!")
    page.get_by_role("button", name=re.compile("^Freeze")).click()
    expect(page.locator("#pasted-error")).to_be_visible()
    yield "paste-errors", page
    page.get_by_label(re.compile("^IDs")).fill(
        "\n".join(f"device_{n}" for n in range(60))
    )
    page.get_by_role("button", name=re.compile("^Freeze")).click()
    expect(page.get_by_label("Reason")).to_be_visible()
    yield "freeze-long-list", page
    page.goto("/devices/selection.paste/")
    page.get_by_label(re.compile("^IDs")).fill(
        "\n".join(
            [*stage.cloud.free(2), known["frozen"], known["child"], "not-yet-synced"]
        )
    )
    page.get_by_role("button", name=re.compile("^Freeze")).click()
    expect(page.get_by_label("Reason")).to_be_visible()
    yield "freeze-lists", page
    page.goto("/devices/selection.paste/")
    page.get_by_label(re.compile("^IDs")).fill(
        "serial,gateway\npump_1,gate_1\npump_2,gate_1"
    )
    page.get_by_role("button", name=re.compile("^Freeze")).click()
    expect(page.get_by_text("Which column has the IDs?", exact=True)).to_be_visible()
    yield "paste-column", page
    viewer = stage.open_page("viewer")
    viewer.goto("/devices/")
    yield "devices-viewer", viewer
    viewer.goto("/")
    yield "overview-viewer", viewer
    SyncRun.objects.all().delete()
    Device.objects.all().delete()
    Policy.objects.all().delete()
    for name, url in [
        ("devices-empty", "/devices/"),
        ("policies-empty", "/policies/"),
        ("overview-empty", "/"),
    ]:
        page.goto(url)
        yield name, page


def device(stage: Stage) -> Views:
    page = stage.open_page("admin")
    known = stage.cloud.known_ids
    stage.ask("device.freeze", [known["online"]], who=stage.user("admin"))
    for name, device in [
        ("device-direct", known["offline"]),
        ("device-child", known["child"]),
        ("device-frozen", known["online"]),
        ("device-full", known["full"]),
    ]:
        page.goto(f"/devices/{device}/")
        expect(page.get_by_text("used on the device itself")).to_be_visible()
        yield name, page
    page.goto(f"/policies/devices/{known['full']}/")
    yield "device-policies", page
    stage.cloud.call("DELETE", f"devices/{known['inactive']}")
    page.goto(f"/devices/{known['inactive']}/")
    yield "device-gone", page
    stage.cloud.fault("ShowDevice", "status", status=500)
    page.goto(f"/devices/{known['offline']}/")
    yield "device-unreachable", page


def verbs(stage: Stage) -> Views:
    """Show the form of every verb."""
    page = stage.open_page("admin")
    known = known_objects(stage.cloud)
    for sample in SAMPLES:
        view = next(view for view in sample.all_views if view.has_form)
        query = urlencode({"target_type": "device", "target": known[sample.target]})
        url = view.url.format(**known, target=known[sample.target])
        page.goto(f"{url}?{query}")
        expect(page.get_by_text(sample.text).first).to_be_visible()
        yield f"verb-{sample.about.command}", page


def freezing(stage: Stage) -> Views:
    page = stage.open_page("operator")
    online = stage.cloud.known_ids["online"]
    page.goto(
        "/devices/?status=ONLINE&product=" + Device.objects.get(pk=online).product_id
    )
    page.locator(f"#act-{online}").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    yield "dialog", page
    page.get_by_label("Reason").fill("   ")
    page.get_by_role("dialog").get_by_role("button", name="Freeze").click()
    expect(page.locator("#dialog .error")).to_be_visible()
    yield "dialog-error", page
    stage.cloud.fault(
        "FreezeDevice",
        "status",
        status=403,
        error_code="IOTDA.000022",
        error_msg="No permission.",
    )
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("dialog").get_by_role("button", name="Freeze").click()
    expect(page.locator("#dialog .verbatim")).to_be_visible()
    yield "dialog-failed", page
    page.keyboard.press("Escape")
    stage.cloud.heal()
    page.locator(f"#act-{online}").click()
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("dialog").get_by_role("button", name="Freeze").click()
    expect(page.get_by_role("status")).to_contain_text("is frozen")
    yield "row-frozen", page
    page.keyboard.press("Shift+?")
    yield "help", page


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


def results(stage: Stage) -> Views:
    page = stage.open_page("admin")
    known, me = stage.cloud.known_ids, stage.user("admin")
    policy, free = known["policy"], stage.cloud.free(10)
    many = list(Device.objects.values_list("pk", flat=True))

    def shown(name: str, operation: Operation) -> tuple[str, Page]:
        page.goto(operation.get_absolute_url())
        return name, page

    partial = stage.ask(
        "policy.bind",
        [*free[:2], known["full"], "nobody_knows-it"],
        who=me,
        policy=policy,
    )
    yield shown("operation-partial", partial)
    page.goto(f"{partial.get_absolute_url()}targets/")
    yield "targets", page
    page.goto(f"{partial.get_absolute_url()}targets/?state=unknown")
    yield "targets-none", page
    yield shown(
        "operation-done",
        stage.ask("policy.bind", free[:2], who=me, policy=known["other_policy"]),
    )
    stage.cloud.fault("BindDevicePolicy", "drop", moment="after")
    yield shown(
        "operation-unknown", stage.ask("policy.bind", free[2:4], who=me, policy=policy)
    )
    stage.cloud.heal()
    running = stage.ask(
        "policy.bind", [*many[:45], known["full"]], who=me, policy=known["other_policy"]
    )
    yield shown("operation-running", running)
    stage.cloud.fault("FreezeDevice", "throttle", retry_after=600)
    throttled = stage.ask("device.freeze", free[:4], who=me)
    execute_due_chunks(client())
    yield shown("operation-throttled", throttled)
    stage.cloud.heal()
    stage.cloud.fault(
        "FreezeDevice",
        "status",
        status=403,
        error_code="IOTDA.000022",
        error_msg="No permission.",
    )
    stopped = stage.ask("device.freeze", free[4:8], who=me)
    execute_due_chunks(client())
    yield shown("operation-stopped", stopped)
    for name, url in [
        ("operations", "/operations/"),
        ("operations-running", "/operations/?state=running"),
        ("overview", "/"),
        ("audit", "/audit/"),
        ("audit-none", "/audit/?q=no-such-thing"),
        (
            "audit-wrong-filter",
            "/audit/?since=yesterday&kind=operation.asked&outside=on",
        ),
        ("audit-codes", "/audit/codes/"),
        ("audit-ticket", "/audit/?ticket=INC-4711"),
    ]:
        page.goto(url)
        yield name, page
    for fold in ("All filters", "Frequent searches"):
        page.get_by_text(fold, exact=True).click()
    targets = page.locator("td details").first
    targets.locator("summary").click()
    yield "audit-unfolded", page
    page.locator("tr:has(details[open]) td a:has(time)").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Event")
    yield "audit-event", page


def following(stage: Stage) -> Views:
    """Show follow-ups of an operation, and its states while it runs."""
    page = stage.open_page("admin")
    known, me = stage.cloud.known_ids, stage.user("admin")
    policy, free = known["policy"], stage.cloud.free(10)

    def shown(name: str, operation: Operation, what: str = "") -> tuple[str, Page]:
        page.goto(f"{operation.get_absolute_url()}{what}")
        return name, page

    long = stage.ask(
        "policy.bind", [f"nobody-{n}" for n in range(45)], who=me, policy=policy
    )
    yield shown("cancel", long, "cancel/")
    page.goto(long.get_absolute_url())
    page.get_by_role("link", name="Cancel the rest").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    yield "cancel-dialog", page
    yield shown("retry-too-early", long, "retry/")
    Operation.objects.filter(pk=long.pk).update(
        strikes=4, waits_until=now() + timedelta(minutes=2)
    )
    yield shown("operation-unreached", long)
    Chunk.objects.filter(operation=long, number=1).update(
        state="followed", by_task=True, task_done=8
    )
    Target.objects.filter(chunk__number=1, operation=long).update(state="sent")
    Operation.objects.filter(pk=long.pk).update(strikes=0, waits_until=None)
    settings.IOTDA_RATE, settings.IOTDA_BURST = 0.2, 1
    yield shown("operation-followed", long)
    settings.IOTDA_RATE = 0
    Operation.objects.filter(pk=long.pk).update(
        state="paused",
        refusals=5,
        refusal_code="IOTDA.019999",
        refusal_message="The instance is being moved.",
    )
    yield shown("operation-paused", long)
    Operation.objects.filter(pk=long.pk).update(pause_cause="restored")
    page.goto("/")
    yield "overview-paused", page
    yield shown("operation-held", long)
    Chunk.objects.filter(operation=long, number__gt=1).update(state="unknown")
    Target.objects.filter(chunk__number__gt=1, operation=long).update(
        state="unknown", error_code="held"
    )
    yield shown("operation-held-reading", long)
    Operation.objects.filter(pk=long.pk).update(pause_cause="interrupted")
    yield shown("operation-interrupted", long)
    Chunk.objects.filter(operation=long, number__gt=1).update(state="pending")
    Target.objects.filter(chunk__number__gt=1, operation=long).update(state="pending")
    Operation.objects.filter(pk=long.pk).update(
        state="running", refusals=0, pause_cause=""
    )
    execute_chunk(long.chunks.get(number=2), client())
    cancel_operation(long, Actor(me, "admin", "web"))
    yield shown("operation-cancelling", long)
    Chunk.objects.filter(operation=long, number=1).update(state="pending")
    Target.objects.filter(chunk__number=1, operation=long).update(state="pending")
    Operation.objects.filter(pk=long.pk).update(state="running")
    execute_chunk(long.chunks.get(number=1), client())
    Operation.objects.filter(pk=long.pk).update(state="cancelled")
    yield shown("operation-cancelled", long)
    yield shown("retry", long, "retry/")
    page.get_by_role("button", name="Bind").click()
    expect(page.get_by_text("Attempt 2 of")).to_be_visible()
    yield shown("retry-again", long, "retry/")
    page.get_by_label("Reason").fill(" ")
    for box in page.get_by_role("checkbox").all():
        box.uncheck()
    page.get_by_role("button", name="Bind").click()
    expect(page.locator("#group-error")).to_be_visible()
    yield "retry-errors", page
    frozen = stage.ask(
        "device.freeze", [known["frozen"], *free[:5], known["child"]], who=me
    )
    execute_due_chunks(client())
    yield shown("retry-nothing", frozen, "retry/")
    stage.ask("device.unfreeze", free[:1], who=me)
    stage.ask("device.freeze", free[:1], who=me)
    stage.ask("device.unfreeze", free[1:2], who=me)
    yield shown("undo", frozen, "undo/")
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("button", name="Unfreeze").click()
    expect(page.get_by_text("Undoes")).to_be_visible()
    execute_due_chunks(client())
    yield shown("operation-undoing", Operation.objects.all()[0])
    yield shown("operation-undone", frozen)
    page.get_by_text("Show the text").click()
    yield "operation-summary", page
    done = stage.ask("device.freeze", free[6:7], who=me)
    stage.ask("device.unfreeze", free[6:7], who=me)
    yield shown("undo-nothing", done, "undo/")
    yield shown("operation-all-undone", done)
    stage.cloud.fault(
        "BindDevicePolicy",
        "status",
        status=400,
        error_code="IOTDA.000006",
        error_msg="No.",
    )
    space = stage.ask(
        "policy.bind", [known["other_space"]], who=me, policy=policy, kind="app"
    )
    page.goto(f"{space.get_absolute_url()}retry/")
    page.locator("[name=group]").check()
    page.get_by_role("button", name="Bind").click()
    expect(page.locator("#typed-error")).to_be_visible()
    yield "retry-space", page


def resolving(stage: Stage) -> Views:
    """Show a bind of a whole space, and failures that are resolved one by one."""
    page = stage.open_page("admin")
    known, me = stage.cloud.known_ids, stage.user("admin")
    space, policy = known["space"], known["policy"]
    whole = stage.ask("policy.bind", [space], who=me, policy=policy, kind="app")
    free = known["free_by_space"][space][:3]
    stage.cloud.fault(
        "FreezeDevice",
        "status",
        match={"times": 3},
        status=400,
        error_code="IOTDA.000006",
        error_msg="No.",
    )
    failed = stage.ask("device.freeze", free, who=me)
    execute_due_chunks(client())
    for name, ids in (("partly-resolved", free[:1]), ("resolved", free[1:])):
        stage.ask("device.freeze", ids, who=me)
        execute_due_chunks(client())
        page.goto(failed.get_absolute_url())
        yield f"operation-{name}", page
    page.goto(whole.get_absolute_url())
    yield "operation-space", page
    page.goto("/operations/?state=failures&mine=1")
    yield "operations-failures", page
    page.goto("/operations/")
    yield "operations-space", page
    page.goto("/")
    yield "overview-space", page
    page.goto(f"/policies/{policy}/")
    yield "policy-space", page
    yield from replacing(stage, page)
    viewer = stage.open_page("viewer")
    viewer.goto(f"/devices/{free[0]}/")
    yield "device-history-viewer", viewer
    viewer.goto(failed.get_absolute_url())
    yield "operation-viewer", viewer


def replacing(stage: Stage, page: Page) -> Views:
    """Replace a policy of a full device: not at once, and with a lost answer."""
    known, me = stage.cloud.known_ids, stage.user("admin")
    full = stage.ask("policy.bind", [known["full"]], who=me, policy=known["policy"])
    page.goto(full.get_absolute_url())
    yield "operation-full", page
    page.get_by_role("link", name=re.compile("^Replace a policy of")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("radio")).to_have_count(5)
    yield "replace", page
    dialog.get_by_role("button", name="Unbind it and bind quarantine").click()
    expect(dialog.get_by_text("Choose the policy to unbind.")).to_be_visible()
    yield "replace-errors", page
    dialog.get_by_role("radio").nth(2).check()
    dialog.get_by_label("Reason").fill(WHY)
    stage.cloud.fault("UnbindDevicePolicy", "drop", moment="after")
    dialog.get_by_role("button", name=re.compile("^Unbind .* and bind")).click()
    expect(page.locator("[data-pair=unconfirmed]")).to_be_visible()
    yield "replace-unconfirmed", page
    stage.cloud.heal()
    Chunk.objects.filter(state="unknown").update(due_at=now())
    page.get_by_role("button", name="Check now").click()
    expect(page.locator("[data-pair=ready]")).to_be_visible()
    yield "replace-ready", page
    page.get_by_role("button", name="Bind quarantine now").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Failures resolved")
    yield "replaced", page
    page.goto(f"/policies/replace.for/{full.pk}/{known['full']}/")
    yield "replace-resolved", page


def bounds(stage: Stage) -> Views:
    """Show pages of limited permissions, scopes and limits."""
    spaces = stage.cloud.known_ids["free_by_space"]
    home = Policy.objects.get(pk=stage.cloud.known_ids["policy"]).app_id
    ids = "\n".join([*spaces.pop(home)[:2], *next(iter(spaces.values()))[:2]])
    for role in ("operator", "policy admin"):
        make_user(role, home)
    page = stage.open_page("auditor")
    for name, query in [("rights", ""), ("rights-one", "?right=policies.bind_space")]:
        page.goto(f"/accounts/rights/{query}")
        yield name, page
    page = stage.open_page("operator")
    page.goto("/devices/selection.paste/")
    page.get_by_label(re.compile("^IDs")).fill(ids)
    page.get_by_role("button", name=re.compile("^Freeze")).click()
    expect(page.get_by_role("alert").first).to_contain_text(
        "not in your resource spaces"
    )
    yield "freeze-elsewhere", page
    page = stage.open_page("policy admin")
    page.goto(f"/policies/{stage.cloud.known_ids['policy']}/bind/")
    page.get_by_text("Paste or upload IDs").click()
    page.get_by_label(re.compile("^IDs")).fill(ids)
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("alert").first).to_contain_text(
        "not in your resource spaces"
    )
    yield "bind-elsewhere", page


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


def oddities(stage: Stage) -> Views:
    page = stage.open_page("viewer")
    page.goto(f"/devices/{stage.cloud.known_ids['online']}/freeze/")
    yield "403", page
    page.goto("/devices/no_such-device/")
    yield "404", page
    page.goto("/inventory/")
    yield "inventory", page
    page.goto("/")
    page.context.clear_cookies(name="iotda_admin_csrf")
    page.get_by_role("button", name="Refresh").evaluate(
        "button => { button.form.submit() }"
    )
    expect(page.get_by_role("heading", level=1)).to_contain_text("too old")
    yield "csrf", page
    operator = stage.open_page("operator")
    operator.goto("/operations/")
    yield "operations-none", operator


def interrupted(stage: Stage) -> Views:
    SyncRun.objects.create(state=SyncRun.State.RUNNING)
    page = stage.open_page("admin")
    page.goto("/devices/")
    page.get_by_label(re.compile("^Select (?!all)")).first.check()
    Device.objects.update(name="Renamed elsewhere")
    SyncRun.objects.update(state=SyncRun.State.DONE)
    expect(page.locator("#changed")).to_have_text("The list has changed.")
    yield "list-changed", page
    known = stage.cloud.known_ids
    page.goto(f"/policies/{known['policy']}/bind/")
    page.get_by_text("Paste or upload IDs").click()
    page.get_by_label(re.compile("^IDs")).fill("\n".join(stage.cloud.free(2)))
    page.get_by_label("Reason").fill("Unpaid since March")
    page.get_by_role("button", name="Products").click()
    page.locator(f'[value="add:{known["product"]}"]').click()
    expect(page.locator("#chosen input")).to_have_count(1)
    Session.objects.all().delete()
    page.get_by_role("button", name="Bind", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    yield "sign-in-nothing-sent", page
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("a-password-1")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Reason")).to_be_visible()
    yield "bind-filled-in", page


def platform(stage: Stage) -> Views:
    """Each state in which IoTDA fails, to an agent and to a user who can correct it."""
    iotda, device = stage.cloud, stage.cloud.known_ids["online"]
    agent, manager = stage.open_page("operator"), stage.open_page("admin")
    User.objects.filter(username="admin").update(is_staff=True)
    manager.goto("/devices/")
    faults: dict[str, tuple[str, dict[str, Any]]] = {
        "refused": ("status", {"status": 401, "error_code": "IOTDA.000003"}),
        "unreachable": ("drop", {}),
        "errors": ("status", {"status": 502}),
        "throttled": ("throttle", {"retry_after": 90}),
    }
    for name, (fault, args) in faults.items():
        iotda.heal()
        iotda.fault("ShowDevice", fault, **args)
        for _ in range(3):
            with suppress(IotdaError):
                client().show_device(device)
        if name == "refused":
            manager.evaluate(CHECK_PLATFORM)
            expect(manager.get_by_text("IoTDA has refused")).to_be_visible()
            yield "platform-on-an-open-page", manager
        for who, page in [("agent", agent), ("manager", manager)]:
            page.goto("/")
            yield f"platform-{name}-{who}", page
    agent.goto(f"/devices/{device}/")
    yield "platform-device", agent
    iotda.heal()
    client().show_device(device)
    manager.evaluate(CHECK_PLATFORM)
    expect(manager.get_by_text("IoTDA answers again")).to_be_visible()
    yield "platform-answers-again", manager


TOURS = [
    signing_in,
    lists,
    device,
    freezing,
    verbs,
    binding,
    policy,
    results,
    following,
    resolving,
    bounds,
    failures,
    oddities,
    interrupted,
    platform,
]
