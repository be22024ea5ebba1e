"""Operations: their results, while they run, and what follows."""

import re
from datetime import timedelta

from django.conf import settings
from django.utils.timezone import now
from playwright.sync_api import Page, expect

from devices.models import Device
from iotda_admin.access.actor import Actor
from iotda_admin.operations.execution.executor import execute_chunk, execute_due_chunks
from iotda_admin.operations.execution.lifecycle import cancel_operation
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.rate.connection import client
from policies.models import Policy
from tests.conftest import make_user
from tests.e2e.stage import Stage
from tests.e2e.tours.common import WHY, Views


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
        ("operations-filtered", "/operations/?verb=policy.bind&ticket=inc-4711&mine=1"),
        ("operations-none", "/operations/?ticket=INC-1"),
        ("operations-wrong-filter", "/operations/?number=x&since=yesterday"),
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
