"""What the browser tests and the screenshots share."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from playwright.sync_api import Page

from devices.models import Device
from iotda_admin import connection as iotda
from iotda_admin.operations.door import Asker, Wanted, ask, start
from iotda_admin.operations.forms import new_key
from iotda_admin.operations.models import Operation
from policies.models import Policy
from tests.cloud import ROOT, Cloud

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Stage:
    cloud: Cloud
    open_page: Callable[..., Page]

    def ask(
        self, verb: str, ids: list[str], *, who: User, policy: str = "", kind: str = "device"
    ) -> Operation:
        """An operation through the one door; of more than one chunk, it waits for a worker."""
        names = dict(Device.objects.filter(pk__in=ids).values_list("pk", "name"))
        operation = ask(
            verb,
            [Wanted(id, names.get(id, "")) for id in ids],
            asker=Asker(who, "admin", "test", "127.0.0.1"),
            reason="Unpaid since March",
            ticket="INC-4711",
            form_key=new_key(),
            target_type=kind,
            policy_id=policy,
            policy_name=Policy.objects.get(pk=policy).name if policy else "",
        )
        start(operation, iotda.client())
        return operation


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


def database_url() -> str:
    """Where the tests' own database lives."""
    at = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{at['NAME']}"
    return f"postgres://{at['USER']}:{at['PASSWORD']}@{at['HOST']}:{at['PORT'] or 5432}/{at['NAME']}"


def noise(page: Page, heard: list[str]) -> None:
    """Writes down what the console says; that an answer was not a 200 is no fault of the page."""

    def hear(message: object) -> None:
        text = getattr(message, "text", str(message))
        if (
            getattr(message, "type", "error") in ("error", "warning")
            and "Failed to load resource" not in text
        ):
            heard.append(f"{page.url}: {text}")

    page.on("console", hear)
    page.on("pageerror", hear)
    page.on("dialog", lambda dialog: (heard.append(f"{page.url}: dialog {dialog.message}"), dialog.dismiss()))
