"""What the browser tests and the screenshots share."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from playwright.sync_api import Browser, BrowserContext, CDPSession, Dialog, Error, Page

from devices.models import Device, Space
from iotda_admin.access.actor import Actor
from iotda_admin.operations.models import Operation
from iotda_admin.operations.requests import TargetSpec
from iotda_admin.operations.services import dispatch
from iotda_admin.operations.web.forms import new_key
from iotda_admin.rate import connection as iotda
from policies.models import Policy
from tests.cloud import ROOT, Cloud
from tests.conftest import make_user
from tests.operation_helpers import create
from tests.own_database import database_url

PATIENCE = 20.0
TELEPHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}


@dataclass
class Stage:
    cloud: Cloud
    new_page: Callable[..., Page]
    options: dict[str, Any] = field(default_factory=dict)

    def open_page(self, role: str = "") -> Page:
        return self.new_page(role, **self.options)

    def user(self, role: str) -> User:
        return User.objects.filter(groups__name=role).first() or make_user(role)

    def ask(
        self,
        verb: str,
        ids: Sequence[str],
        *,
        who: User,
        policy: str = "",
        kind: str = "device",
    ) -> Operation:
        """Create an operation; one of several chunks waits for a worker."""
        names = dict(Device.objects.filter(pk__in=ids).values_list("pk", "name"))
        names |= dict(Space.objects.filter(pk__in=ids).values_list("pk", "name"))
        operation = create(
            verb,
            [TargetSpec(id, names.get(id, "")) for id in ids],
            Actor(who, "admin", "test", "127.0.0.1"),
            reason="Unpaid since March",
            ticket="INC-4711",
            key=new_key(),
            target_type=kind,
            policy_id=policy,
            policy_name=Policy.objects.get(pk=policy).name if policy else "",
        )
        dispatch(operation, iotda.client())
        return operation


@dataclass
class Visitors:
    """Reused browser contexts: a new one starts processes and reloads all files."""

    browser: Browser
    url: str
    known: list[tuple[dict[str, Any], BrowserContext]] = field(default_factory=list)
    here: list[BrowserContext] = field(default_factory=list)
    # Chromium's IDs of the pages that stay.
    kept: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.wire: CDPSession = self.browser.new_browser_cdp_session()

    def take(self, **options: Any) -> BrowserContext:
        """Return a context that is not in use in this test."""
        free = (
            context
            for said, context in self.known
            if said == options and context not in self.here
        )
        context = next(free, None) or self.new(options)
        self.here.append(context)
        return context

    def new(self, options: dict[str, Any]) -> BrowserContext:
        context = self.browser.new_context(
            base_url=self.url, reduced_motion="reduce", **options
        )
        self.known.append((options, context))
        # An open page keeps the renderer process of the site alive.
        known = self.open_pages()
        context.new_page().goto("/healthz")
        self.kept |= self.open_pages() - known
        return context

    def open_pages(self) -> set[str]:
        targets = self.wire.send("Target.getTargets")["targetInfos"]
        return {target["targetId"] for target in targets if target["type"] == "page"}

    def leave(self) -> None:
        """Remove all state of this test."""
        self.shut(page for context in self.here for page in context.pages[1:])
        for context in self.here:
            context.pages[0].evaluate("() => localStorage.clear()")
            context.clear_cookies()
            context.clear_permissions()
        self.here.clear()

    def shut(self, pages: Iterable[Page]) -> None:
        """Close pages, again and again until they are gone.

        Chromium forgets to close a page if a navigation commits at that moment, and
        Page.close() would wait forever.
        """
        left, until = list(pages), time.monotonic() + PATIENCE
        while left := [page for page in left if not page.is_closed()]:
            assert time.monotonic() < until, f"{left} cannot be closed"
            for target in self.open_pages() - self.kept:
                with suppress(Error):  # already closed
                    self.wire.send("Target.closeTarget", {"targetId": target})
            self.here[0].pages[0].wait_for_timeout(2)

    def close(self) -> None:
        for _options, context in self.known:
            context.close()


class Worker:
    """`manage.py worker` as it runs beside the web process."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "worker"],
            cwd=ROOT,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "DATABASE_URL": database_url(),
                "SECRET_KEY": settings.SECRET_KEY,
                "IOTDA_ENDPOINT": self.cloud.api,
            },
        )

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(15)


def noise(page: Page, heard: list[str]) -> None:
    """Record messages of the console, except for responses that are not a 200."""

    def hear(message: object) -> None:
        text = getattr(message, "text", str(message))
        if (
            getattr(message, "type", "error") in ("error", "warning")
            and "Failed to load resource" not in text
        ):
            heard.append(f"{page.url}: {text}")

    page.on("console", hear)
    page.on("pageerror", hear)

    def dismiss(dialog: Dialog) -> None:
        heard.append(f"{page.url}: dialog {dialog.message}")
        dialog.dismiss()

    page.on("dialog", dismiss)
