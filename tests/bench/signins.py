"""bin/bench sign-ins: memory, and the time of a freeze, while unknown users sign in."""

import re
import secrets
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from uuid import uuid4

import requests

from tests.bench.goals import Goal, Report
from tests.bench.product import PATIENCE, Product, children
from tests.bench.stage import CAN_BE_FROZEN, Stage
from tests.operations.deployment import Browser

PARALLEL, ADDRESSES = 64, 40
LIMIT_MB, LIMIT_SECONDS = 150, 2.0
# The addresses are forged, and none is locked before the end.
SETTINGS = {"BEHIND_PROXY": "True", "LOGIN_TRIES": "100"}
CONTROL = {"DJANGO_SETTINGS_MODULE": "tests.bench.unlimited_signins"}


@dataclass
class Round:
    megabytes: float = 0.0
    # A freeze before the attack: the machine may be busy.
    before: float = 0.0
    freezes: list[float] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)


def run(stage: Stage, *, seconds: float, rounds: int) -> Report:
    found = [attacked(stage, seconds, {}) for _round in range(rounds)]
    control = attacked(stage, seconds, CONTROL)
    about = {"seconds": seconds, "rounds": rounds, "parallel": PARALLEL}
    report = Report(
        "sign-ins", {"database": stage.kind, "addresses": ADDRESSES, **about}
    )
    report.table = [
        [
            "",
            "web MB more",
            "freeze before, s",
            "slowest freeze, s",
            "checked",
            "not checked",
        ]
    ]
    for name, each in [
        *((f"round {n}", one) for n, one in enumerate(found, 1)),
        ("control", control),
    ]:
        row = [
            f"{each.megabytes:.0f}",
            f"{each.before:.2f}",
            f"{max(each.freezes):.2f}",
        ]
        counts = [str(each.answers[200]), str(each.answers[429])]
        report.table.append([name, *row, *counts])
    report.figures = {"answers": [dict(each.answers) for each in found]}
    report.goals = goals(found)
    report.control = "Django's Argon2 hasher, and no limit of sign-ins at once"
    report.controls = goals([control])
    return report


def goals(found: list[Round]) -> list[Goal]:
    """Compare the worst round with the limits."""
    megabytes = max(each.megabytes for each in found)
    slowest = max(max(each.freezes) for each in found)
    return [
        Goal("web MB more", megabytes, "<=", LIMIT_MB),
        Goal("seconds: freeze", slowest, "<=", LIMIT_SECONDS),
    ]


def attacked(stage: Stage, seconds: float, settings: dict[str, str]) -> Round:
    stage.reset()
    with stage.product(**SETTINGS | settings) as product:
        operator = Browser(product.base, "operator")
        devices = iter(stage.ids(50, CAN_BE_FROZEN))
        visitors = [Visitor(product.base, number) for number in range(PARALLEL)]
        found, over = Round(), Event()
        with ThreadPoolExecutor(PARALLEL) as pool:
            # Each thread of the web server has its memory before the attack begins.
            list(pool.map(Visitor.open, visitors))
            found.before = min(freeze(operator, next(devices)) for _ in range(3))
            before = memory(product)
            attacks = [pool.submit(each.attack, over) for each in visitors]
            ends = time.monotonic() + seconds
            try:
                while time.monotonic() < ends:
                    found.freezes.append(freeze(operator, next(devices)))
                    found.megabytes = max(found.megabytes, memory(product) - before)
                    time.sleep(0.2)
            finally:
                over.set()
        for each in attacks:
            found.answers += each.result()
    return found


class Visitor:
    """Signs in with unknown names from one of the addresses."""

    def __init__(self, base: str, number: int) -> None:
        self.url, self.http = f"{base}/accounts/login/", requests.Session()
        self.http.trust_env = False
        address = f"192.0.2.{number % ADDRESSES}"
        self.http.headers.update({"X-Forwarded-For": address, "Connection": "close"})
        self.form: dict[str, str] = {}

    def open(self) -> None:
        for _ in range(5):
            page = self.http.get(self.url, timeout=60).text
        hidden = r'<input type="hidden" name="(\w+)" value="([^"]*)"'
        self.form = dict(re.findall(hidden, page))

    def attack(self, over: Event) -> "Counter[int]":
        """Sign in until it is over; return how often with which answer."""
        answers = Counter[int]()
        while not over.is_set():
            self.form |= {"username": secrets.token_hex(8), "password": "wrong"}
            answer = self.http.post(self.url, self.form, timeout=60)
            answers[answer.status_code] += 1
        return answers


def freeze(operator: Browser, device: str) -> float:
    """Return the seconds that a freeze takes, with its form."""
    path, began = f"/devices/{device}/freeze/", time.monotonic()
    form = {"key": uuid4().hex} | operator.form(path)
    form |= {"reason": "measured", "ticket": "BENCH-1"}
    answer = operator.http.post(operator.base + path, form, timeout=PATIENCE)
    answer.raise_for_status()
    return time.monotonic() - began


def memory(product: Product) -> float:
    """Return the megabytes that the processes of the web server use."""
    own = [product.web.pid, *children(product.web.pid)]
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in own]
    return sum(int(re.findall(r"VmRSS:\s+(\d+) kB", text)[0]) for text in texts) / 1000
