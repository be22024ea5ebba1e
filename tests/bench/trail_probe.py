"""One measurement of the trail in its own process.

    python -m tests.bench.trail_probe WHAT [SIZE]

Prints a line of JSON. Each runs in a new process, to measure its memory alone.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402 - after setup()
from django.db.models import Q  # noqa: E402 - after setup()
from django.http import QueryDict  # noqa: E402 - after setup()
from django.test import Client, RequestFactory  # noqa: E402 - after setup()

from iotda_admin.audit import export  # noqa: E402 - after setup()
from iotda_admin.audit.head import chain_head  # noqa: E402 - after setup()
from iotda_admin.audit.models import Event  # noqa: E402 - after setup()
from iotda_admin.audit.search.filters import AuditFilterForm  # noqa: E402 - after setup()
from iotda_admin.audit.verify import verify_trail  # noqa: E402 - after setup()
from tests.bench import trail  # noqa: E402 - after setup()
from tests.bench.product import peak  # noqa: E402 - after setup()
from tests.bench.questions import APART, QUESTIONS  # noqa: E402 - after setup()


def made(size: str) -> dict[str, Any]:
    began = time.perf_counter()
    trail.fill(int(size))
    return {"seconds": time.perf_counter() - began, "head": str(chain_head())}


class Reader:
    """A user who sends queries one after the other, as a browser does."""

    def __init__(self) -> None:
        self.client, self.rows = Client(), 0
        self.client.force_login(
            User.objects.get_or_create(username="measured", is_superuser=True)[0]
        )
        self.middle = Event.objects.order_by("-id").values_list("id", flat=True)[0] // 2
        self.ask({})

    def ask(self, filters: dict[str, str]) -> None:
        filled = {
            key: str(self.middle) if value == "middle" else value
            for key, value in filters.items()
        }
        page = self.client.get(f"/audit/?{urlencode(filled)}").text
        self.rows = str(page).count("data-label") // 5

    def do(self, name: str) -> None:
        match name:
            case "control":
                Event.objects.filter(like_before("x")).count()
            case "error codes":
                self.client.get("/audit/codes/")
            case "one event":
                self.client.get("/audit/9/")
            case _:
                self.ask(QUESTIONS.get(name, APART))

    def answer(self, name: str) -> dict[str, Any]:
        began = time.perf_counter()
        self.do(name)
        return {"seconds": time.perf_counter() - began, "rows": self.rows}


def questions() -> None:
    """Answer the questions of standard input, so that several sizes can take turns."""
    reader = Reader()
    for line in sys.stdin:
        print(json.dumps(reader.answer(line.strip())), flush=True)


def like_before(text: str) -> Q:
    """Search any column for a text and count, as the page did before it had filters."""
    return (
        Q(reason__icontains=text)
        | Q(ticket__icontains=text)
        | Q(summary__icontains=text)
    )


def taken(how: str) -> dict[str, Any]:
    """Read an export as a browser does."""
    request = RequestFactory().get("/audit/export")
    request.user = User.objects.get_or_create(username="measured", is_superuser=True)[0]
    written: Callable[..., Any] = {
        "csv": export.export_csv,
        "jsonl": export.export_json_lines,
    }[how]
    before, began, lines = memory(), time.perf_counter(), 0
    for piece in written(request, AuditFilterForm(QueryDict(""))):
        lines += piece.count(b"\n")
    seconds = time.perf_counter() - began
    return {
        "rows": lines,
        "seconds": seconds,
        "peak": memory(),
        "added": memory() - before,
    }


def verified() -> dict[str, Any]:
    before, began = memory(), time.perf_counter()
    finding = verify_trail(str(chain_head()))
    seconds = time.perf_counter() - began
    bad = [] if finding.broken_at is None else [finding.broken_at]
    return {
        # The event and each of its targets is a row.
        "rows": finding.events + finding.outcomes,
        "events": finding.events,
        "seconds": seconds,
        "peak": memory(),
        "added": memory() - before,
        "bad": bad,
    }


def memory() -> int:
    return peak(os.getpid())


WHAT: dict[str, Callable[..., dict[str, Any] | None]] = {
    "fill": made, "questions": questions, "export": taken, "verify": verified,
}  # fmt: skip

if __name__ == "__main__":
    if (found := WHAT[sys.argv[1]](*sys.argv[2:])) is not None:
        print(json.dumps(found))
