"""Processor time and size of pages of the inventory, in a process of their own.

python -m tests.bench.page_probe fill SIZE
python -m tests.bench.page_probe questions
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from itertools import batched
from typing import Any
from unittest import mock

import django

django.setup()

from django.conf import settings  # noqa: E402 - after setup()
from django.contrib.auth.models import User  # noqa: E402 - after setup()
from django.test import Client  # noqa: E402 - after setup()

from devices.models import Device  # noqa: E402 - after setup()
from devices.sync import Devices  # noqa: E402 - after setup()
from iotda_admin.core import row_templates  # noqa: E402 - after setup()

URLS = "tests.bench.page_urls"
TOGETHER = 5000
# What a browser sends, and that it reads compressed pages.
HEADERS = {"accept-encoding": "gzip"}
STATUSES = ["ONLINE", "OFFLINE", "ONLINE", "FROZEN", "INACTIVE"]
ADMIN = "admin"
CONTROL = "control"
PAGES = {
    "list": "/devices/",
    "list, frozen": "/devices/?status=FROZEN",
    "overview": "/",
    ADMIN: "/peer/devices/device/",
    CONTROL: "/devices/",
}


def device(number: int) -> Device:
    gateway = number if number % 4 else number + 1
    return Device(
        device_id=f"6677658004053898222199c7_pump-{number:07}",
        node_id=f"pump-{number:07}",
        name=f"Pump {number}",
        status=STATUSES[number % len(STATUSES)],
        gateway_id=f"6677658004053898222199c7_pump-{gateway:07}",
        product_id=f"product{number % 7}",
        product_name=f"Product {number % 7}",
        app_id="space",
        app_name="plant-north",
    )


def fill(size: int) -> None:
    """Add devices up to this number."""
    numbers = range(Device.objects.count(), size)
    for some in batched(numbers, TOGETHER):
        Devices().store(map(device, some))


class Reader:
    """A user who opens pages."""

    def __init__(self) -> None:
        user = User.objects.get_or_create(
            username="measured", is_superuser=True, is_staff=True
        )[0]
        self.client = Client()
        self.client.force_login(user)
        for name in PAGES:
            self.answer(name)

    def answer(self, name: str) -> dict[str, Any]:
        """Return the processor time of a page, its size, and what of it is sent."""
        formats = row_templates.row_format
        # The control renders the template of each row.
        each = formats.__wrapped__ if name == CONTROL else formats
        with mock.patch.object(row_templates, "row_format", each):
            began = time.thread_time()
            sent = self.client.get(PAGES[name], headers=HEADERS)
            seconds = time.thread_time() - began
        assert sent.status_code == 200, sent.status_code
        whole = self.client.get(PAGES[name])
        return {
            "seconds": seconds,
            "bytes": len(whole.content),
            "sent": len(sent.content),
            "rows": whole.text.count("<tr"),
        }


def questions() -> None:
    """Answer the questions of standard input, so that several sizes can take turns."""
    settings.ROOT_URLCONF = URLS
    reader = Reader()
    # As gunicorn.conf.py does; otherwise a collection falls on the same page each round.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        print(json.dumps(reader.answer(line.strip())), flush=True)


WHAT: dict[str, Callable[..., None]] = {
    "fill": lambda size: fill(int(size)),
    "questions": questions,
}

if __name__ == "__main__":
    WHAT[sys.argv[1]](*sys.argv[2:])
