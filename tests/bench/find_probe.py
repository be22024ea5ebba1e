"""Time of searches, filters and orders of the device list, in a process of its own.

python -m tests.bench.find_probe fill SIZE
python -m tests.bench.find_probe questions
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402 - after setup()
from django.db import connection, transaction  # noqa: E402 - after setup()
from django.http import QueryDict  # noqa: E402 - after setup()
from django.test import RequestFactory  # noqa: E402 - after setup()

from devices.finding import DeviceList, Sort  # noqa: E402 - after setup()
from devices.forms import FilterForm  # noqa: E402 - after setup()
from devices.models import Device, Product, Space  # noqa: E402 - after setup()
from iotda_admin.core.bulk_sql import insert_rows  # noqa: E402 - after setup()
from iotda_admin.core.search_text import has_words, search_text  # noqa: E402 - after setup()
from tests.bench.find_questions import APART, CONTROL, QUESTIONS, SUBSTRINGS  # noqa: E402 - after setup()

TOGETHER = 20_000
PRODUCTS, SPACES = 20, 4
KINDS = ["Pump", "Meter", "Valve", "水表", "Gate"]
STATUSES = ["ONLINE", "OFFLINE", "ONLINE", "INACTIVE", "OFFLINE", "FROZEN", "ONLINE"]
# These few are among the first devices of each size.
RARE = {1234: "North gate 7 Überdruck", 2345: "三号水泵房", 3456: "水泵"}
COLUMNS = [
    "device_id", "node_id", "name", "status", "node_type", "gateway_id", "product_id",
    "product_name", "app_id", "app_name", "search_text",
]  # fmt: skip


def device(number: int) -> tuple[str, ...]:
    product, space = number % PRODUCTS, number % SPACES
    # The names of a product begin alike, as real ones do.
    name = RARE.get(number, f"{KINDS[product % len(KINDS)]} {number:07}")
    node_id = f"unit-{number:07}"
    device_id = f"6677658004053898222199c7_{node_id}"
    status = "ABNORMAL" if number in RARE else STATUSES[number % 7]
    node_type = "GATEWAY" if number % 3 else "ENDPOINT"
    gateway = device_id if number % 3 else "another"
    return (
        *(device_id, node_id, name, status, node_type, gateway),
        *(
            f"product{product:02}",
            f"Product {product}",
            f"space{space}",
            f"plant {space}",
        ),
        search_text([device_id, node_id, name]),
    )


def fill(size: int) -> None:
    """Add devices up to this number."""
    Product.objects.bulk_create(
        [
            Product(product_id=f"product{n:02}", name=f"Product {n}")
            for n in range(PRODUCTS)
        ],
        ignore_conflicts=True,
    )
    Space.objects.bulk_create(
        [Space(app_id=f"space{n}", name=f"plant {n}") for n in range(SPACES)],
        ignore_conflicts=True,
    )
    for some in batches(Device.objects.count(), size):
        with transaction.atomic():
            insert_rows(Device(), COLUMNS, map(device, some))


def fill_and_vacuum(size: str) -> None:
    fill(int(size))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # As the server does by itself, later.
            cursor.execute("VACUUM ANALYZE devices_device")


def batches(first: int, size: int) -> Iterator[range]:
    for start in range(first, size, TOGETHER):
        yield range(start, min(start + TOGETHER, size))


class Reader:
    """A user who searches the list."""

    def __init__(self) -> None:
        self.user = User.objects.get_or_create(username="measured", is_superuser=True)[
            0
        ]
        middle = Device.objects.count() // 2
        self.middle = device(middle)[0]
        self.answer("list")

    def answer(self, name: str) -> dict[str, Any]:
        began, wall = time.thread_time(), time.perf_counter()
        found = (
            read_every_row()
            if name == CONTROL
            else self.find((QUESTIONS | APART)[name])
        )
        processor, wall = time.thread_time() - began, time.perf_counter() - wall
        # The server's time is not ours.
        seconds = wall if connection.vendor == "postgresql" else processor
        return {"seconds": seconds, "processor": processor, "wall": wall, **found}

    def find(self, asked: dict[str, str]) -> dict[str, Any]:
        """Read a page and the number, as the view does."""
        asked = {k: self.middle if v == "middle" else v for k, v in asked.items()}
        request = RequestFactory().get(f"/devices/?{urlencode(asked)}")
        form = FilterForm(QueryDict(urlencode(asked)), user=self.user)
        listed = DeviceList(form, Sort.of(request))
        page = listed.page(request)
        number = listed.number
        return {"rows": len(page.items), "count": number.count, "more": number.more}


def read_every_row() -> dict[str, Any]:
    """Search as before there was an index."""
    text = SUBSTRINGS["substring, not found"]["q"]
    rows = Device.objects.filter(has_words([text]))
    # So that the index cannot be used.
    if connection.vendor == "postgresql":
        rows = Device.objects.extra(
            where=["search_text || '' LIKE %s"], params=[f"%{text}%"]
        )
    return {"rows": len(rows[:50]), "count": 0, "more": False}


def questions() -> None:
    """Answer the questions of standard input, so that several sizes can take turns."""
    reader = Reader()
    for line in sys.stdin:
        print(json.dumps(reader.answer(line.strip())), flush=True)


WHAT: dict[str, Callable[..., None]] = {
    "fill": fill_and_vacuum,
    "questions": questions,
}

if __name__ == "__main__":
    WHAT[sys.argv[1]](*sys.argv[2:])
