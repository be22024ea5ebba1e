"""Pages of errors, and each state in which IoTDA fails."""

from contextlib import suppress
from typing import Any

from django.contrib.auth.models import User
from playwright.sync_api import expect

from iotda_admin.iotda import IotdaError
from iotda_admin.rate.connection import client
from tests.e2e.stage import Stage
from tests.e2e.tours.common import CHECK_PLATFORM, Views


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
