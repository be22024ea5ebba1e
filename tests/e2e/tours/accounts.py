"""Signing in, passwords, and sessions that end."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.conf import settings
from django.contrib.sessions.models import Session
from playwright.sync_api import expect

from devices.models import Device
from iotda_admin.accounts import login_throttle, password_checks
from iotda_admin.inventory.models import SyncRun
from tests.e2e.stage import Stage
from tests.e2e.tours.common import Views

PLACES = settings.PASSWORD_CHECKS_AT_ONCE + settings.PASSWORD_CHECKS_WAITING


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
