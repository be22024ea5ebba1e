"""Lists and pages of devices, and what changes them."""

import re
from contextlib import ExitStack
from urllib.parse import urlencode

from playwright.sync_api import expect

from devices.models import Device
from iotda_admin.inventory.models import MirrorState, SyncRun
from iotda_admin.rate.page_reads import page_places
from policies.models import Policy
from tests.e2e.stage import Stage
from tests.e2e.tours.common import WHY, Views
from tests.samples import SAMPLES, known_objects


def lists(stage: Stage) -> Views:
    page = stage.open_page("admin")
    known = stage.cloud.known_ids
    for name, url in [
        ("devices", "/devices/"),
        ("devices-filtered", "/devices/?status=FROZEN&node_type=GATEWAY"),
        ("devices-sorted", "/devices/?node_type=GATEWAY&sort=-name"),
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
    page.locator("[name=matching]").check()
    yield "devices-all-selected", page
    page.locator("[name=matching]").uncheck()
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
    with ExitStack() as places:
        for _ in range(page_places.number):
            places.enter_context(page_places.take())
        page.reload()
        expect(page.get_by_text("IoTDA is busy.")).to_be_visible()
        yield "device-busy", page


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
    page.locator(f"#device-{online} .button").click()
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
    page.locator(f"#device-{online} .button").click()
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("dialog").get_by_role("button", name="Freeze").click()
    expect(page.get_by_role("status")).to_contain_text("is frozen")
    yield "row-frozen", page
    page.keyboard.press("Shift+?")
    yield "help", page


def odd_values(stage: Stage) -> Views:
    """IDs that IoTDA itself does not accept, and rows that cannot be stored."""
    for odd, status in [("a.b/c d", "ONLINE"), ("x\u202ey", "frozen?")]:
        row = Device.objects.filter(status="ONLINE").first()
        assert row
        row.pk, row.name, row.status = odd, "Odd", status
        row.save()
    Policy.objects.create(policy_id="of no kind", name="odd", app_id="no space")
    MirrorState.objects.filter(table="devices_device").update(skipped=2)
    page = stage.open_page("admin")
    for name, url in [
        ("devices-odd", "/devices/?q=odd"),
        ("policies-odd", "/policies/"),
    ]:
        page.goto(url)
        yield name, page
