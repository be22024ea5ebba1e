"""One measurement of the trail in a process of its own: `python -m tests.bench.trail_probe WHAT [SIZE]`.

Prints a line of JSON. A fresh process for each, so that the memory of one does not hide another's.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db.models import Q  # noqa: E402
from django.http import QueryDict  # noqa: E402
from django.test import Client, RequestFactory  # noqa: E402

from iotda_admin.audit import export, head  # noqa: E402
from iotda_admin.audit.filters import FilterForm  # noqa: E402
from iotda_admin.audit.models import Event  # noqa: E402
from iotda_admin.audit.verify import verify  # noqa: E402
from tests.bench import trail  # noqa: E402

POLICY = trail.POLICIES[3]
A_DAY = {"since": "2024-01-01T06:00Z", "until": "2024-01-02T06:00Z"}
QUESTIONS: dict[str, dict[str, str]] = {
    "newest": {},
    "the middle": {"after": "middle"},
    "back from the beginning": {"before": "60"},
    "person": {"actor": "agent3"},
    "event": {"kind": "login.failed"},
    "change": {"verb": "policy.unbind"},
    "target": {"target": trail.DEVICE},
    "policy by id": {"policy": POLICY[0]},
    "policy by name": {"policy": POLICY[1]},
    "outcome ok": {"outcome": "ok"},
    "outcome unknown": {"outcome": "unknown"},
    "not allowed": {"outcome": "denied"},
    "error code, common": {"code": trail.CODES[0]},
    "error code, rare and old": {"code": trail.CODE},
    "ticket, old": {"ticket": trail.TICKET.lower()},
    "reason, common": {"reason": "unpaid"},
    "reason, beginning of a word": {"reason": "custom lost"},
    "reason, Chinese": {"reason": "停机"},
    "reason, rare and old": {"reason": trail.WORD},
    "operation": {"operation": "OP-3"},
    "source": {"source": "cli"},
    "time": A_DAY,
    "outside hours": {"outside": "on"},
    "whole space": {"whole": "on"},
    "person, change": {"actor": "agent3", "verb": "policy.bind"},
    "person, failed": {"actor": "agent3", "outcome": "failed"},
    "change, failed": {"verb": "policy.bind", "outcome": "failed"},
    "policy, failed": {"policy": POLICY[0], "outcome": "failed"},
    "target, failed, code": {"target": trail.DEVICE, "outcome": "failed", "code": trail.CODE},
    "ticket, failed": {"ticket": trail.TICKET, "outcome": "failed"},
    "person, reason": {"actor": "agent3", "reason": "unpaid"},
    "change, rare reason": {"verb": "device.freeze", "reason": trail.WORD},
    "time, person": A_DAY | {"actor": "agent3"},
    "time, failed": A_DAY | {"outcome": "failed"},
    "time, reason": A_DAY | {"reason": "unpaid"},
    "event, source, outside": {"kind": "operation.asked", "source": "cli", "outside": "on"},
    "whole space binds of a time": A_DAY | {"whole": "on", "verb": "policy.bind", "kind": "operation.asked"},
}
# Two that are frequent each and never meet: what the bound on one page is for.
APART = {"actor": trail.WATCHER, "verb": "device.freeze"}


def made(size: str) -> dict[str, Any]:
    began = time.perf_counter()
    trail.fill(int(size))
    return {"seconds": time.perf_counter() - began, "head": head()}


def pages(rounds: str) -> dict[str, Any]:
    client = Client()
    client.force_login(User.objects.get_or_create(username="measured", is_superuser=True)[0])
    middle = Event.objects.order_by("-id").values_list("id", flat=True)[0] // 2

    shown: dict[str, int] = {}

    def ask(name: str, filters: dict[str, str]) -> None:
        filled = {key: str(middle) if value == "middle" else value for key, value in filters.items()}
        shown[name] = str(client.get(f"/audit/?{urlencode(filled)}").text).count("data-label") // 5

    ask("warming up", {})
    asked = {one[0]: timed(int(rounds), lambda one=one: ask(*one)) for one in QUESTIONS.items()}
    asked["error codes"] = timed(int(rounds), lambda: client.get("/audit/codes/"))
    asked["one event"] = timed(int(rounds), lambda: client.get("/audit/9/"))
    return {
        "pages": asked,
        "rows": shown,
        "apart": timed(int(rounds), lambda: ask("apart", APART)),
        "control": timed(5, lambda: Event.objects.filter(like_before("x")).count()),
    }


def like_before(text: str) -> Q:
    """What this page did before it had filters: any of these, anywhere, and how many."""
    return Q(reason__icontains=text) | Q(ticket__icontains=text) | Q(summary__icontains=text)


def taken(how: str) -> dict[str, Any]:
    """An export, read as a browser would."""
    request = RequestFactory().get("/audit/export")
    request.user = User.objects.get_or_create(username="measured", is_superuser=True)[0]
    written: Callable[..., Any] = {"csv": export.csv, "jsonl": export.json_lines}[how]
    before, began, lines = memory(), time.perf_counter(), 0
    for piece in written(request, FilterForm(QueryDict(""))):
        lines += piece.count(b"\n")
    seconds = time.perf_counter() - began
    return {"rows": lines, "seconds": seconds, "peak": memory(), "added": memory() - before}


def verified() -> dict[str, Any]:
    before, began = memory(), time.perf_counter()
    finding = verify(head())
    seconds = time.perf_counter() - began
    bad = [] if finding.bad is None else [finding.bad]
    return {
        "rows": finding.events,
        "seconds": seconds,
        "peak": memory(),
        "added": memory() - before,
        "bad": bad,
    }


def memory() -> int:
    """The most that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def timed(rounds: int, work: Callable[[], object]) -> list[float]:
    seconds = []
    for _round in range(rounds):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return seconds


WHAT: dict[str, Callable[..., dict[str, Any]]] = {
    "fill": made, "pages": pages, "export": taken, "verify": verified,
}  # fmt: skip

if __name__ == "__main__":
    print(json.dumps(WHAT[sys.argv[1]](*sys.argv[2:])))
