"""A slow platform, slow clients and many sign-ins: everything else is still answered.

The limits of time are for a quiet machine; with `--facts` time does not count.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

from tests.chaos import product
from tests.chaos.report import Findings
from tests.chaos.stage import Stage
from tests.chaos.visitors import (
    PAUSE_SECONDS,
    Answer,
    Guesser,
    Reader,
    freeze,
    send_slowly,
)
from tests.chaos.web import WebServer, web_server
from tests.operations.deployment import Browser

LIST_SECONDS, PAGE_SECONDS, FREEZE_SECONDS = 1.0, 11.0, 2.0
MEGABYTES = 150
# IOTDA_DEADLINE, and the same where time does not count.
DEADLINE, LONG_DEADLINE = 10, 120
# So many lists show that slow clients hold no thread.
LISTS = 3
BUSY = "IoTDA is busy."


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    attack = Attack(stage, options)
    attack.findings.at_most("load of the machine before", os.getloadavg()[0])
    for act in attack.chosen():
        act()
    return attack.findings


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    """Attack gunicorn without our settings; each of the attacks has to succeed."""
    attack = Attack(stage, options)
    empty = Path(os.environ["TEST_DATA_DIR"]) / "gunicorn.conf.py"
    empty.touch()
    # Of two processes, one may accept so few slow clients that it has threads left.
    attack.server = ("--workers", "1", "--threads", "8", "--config", str(empty))
    attack.settings["UNLIMITED_SIGN_INS"] = "1"
    for act in attack.chosen():
        before = len(attack.findings.violations)
        act()
        if len(attack.findings.violations) == before:
            return Findings()
    return attack.findings


class Attack:
    def __init__(self, stage: Stage, options: dict[str, Any]) -> None:
        self.cloud, self.options, self.findings = stage.cloud, options, Findings()
        self.server: tuple[str, ...] = ("--threads", "32")
        deadline = LONG_DEADLINE if options["facts"] else DEADLINE
        self.settings = {"IOTDA_DEADLINE": str(deadline)}
        found = stage.desk(product.direct_devices)
        self.devices = [id for id, status in found.items() if status != "FROZEN"]

    def chosen(self) -> list[Any]:
        acts = {
            "pages": self.read_slow_platform,
            "clients": self.send_slowly,
            "sign_ins": self.sign_in,
        }
        return [act for name, act in acts.items() if self.options[name]]

    @contextmanager
    def web(self, *options: str, **settings: str) -> Iterator[WebServer]:
        words = options or self.server
        with web_server(self.cloud, *words, **self.settings, **settings) as web:
            yield web

    def read_slow_platform(self) -> None:
        """Get all device pages at once, and lists until the pages are answered."""
        paths = [f"/devices/{id}/" for id in self.devices]
        paths, over = list(islice(cycle(paths), self.options["pages"])), Event()
        with self.web() as web, ThreadPoolExecutor(len(paths) + 1) as pool:
            viewer = Reader(web.browser("viewer"))
            # Each thread of the web server has served a page before the attack begins.
            list(pool.map(viewer.get, paths))
            self.cloud.switch(latency_ms=1000 * self.options["latency"])
            lists = pool.submit(viewer.get_lists, over)
            try:
                pages = list(pool.map(viewer.get, paths))
            finally:
                over.set()
                self.cloud.switch(latency_ms=0)
        self.check("device pages", pages, PAGE_SECONDS)
        stored = [page for page in pages if BUSY in page.text]
        self.findings.numbers["device pages from the inventory"] = len(stored)
        if not stored:
            self.findings.violations.append("all device pages waited for IoTDA")
        # Until then the processors are busy with the pages that do not wait.
        rendered = max([page.ended for page in stored], default=0.0)
        first = [each for each in lists.result() if each.began < rendered]
        self.check("lists requested with the pages", first, LIST_SECONDS)
        rest = lists.result()[len(first) :]
        self.check("lists beside waiting pages", rest, LIST_SECONDS)

    def send_slowly(self) -> None:
        """Get lists while clients send the heads of their requests byte by byte."""
        number, over, connected = self.options["clients"], Event(), Event()
        with self.web() as web:
            viewer = Reader(web.browser("viewer"))
            args = web.base, number, connected, over
            slow = Thread(target=send_slowly, args=args)
            timer = Timer(self.options["duration"], over.set)
            slow.start()
            connected.wait()
            timer.start()
            try:
                most = {"enough": LISTS} if self.options["facts"] else {}
                lists = viewer.get_lists(over, **most)
            finally:
                timer.cancel()
                over.set()
                slow.join()
        self.findings.numbers["slow clients"] = number
        self.check("lists beside slow clients", lists, LIST_SECONDS)
        if viewer.meanwhile < LISTS:
            self.findings.violations.append(
                f"slow clients let {viewer.meanwhile} lists through"
            )

    def sign_in(self) -> None:
        """Freeze devices while unknown names sign in without a pause."""
        forged = {"BEHIND_PROXY": "True", "LOGIN_TRIES": "100"}
        hashing = {"DJANGO_SETTINGS_MODULE": "tests.chaos.hashing"}
        number = self.options["sign_ins"]
        with (
            self.web("--threads", "32", **forged, **hashing) as web,
            ThreadPoolExecutor(number) as pool,
        ):
            guessers = [Guesser(web.base, each) for each in range(number)]
            # Each thread of the web server has its memory before the attack begins.
            list(pool.map(Guesser.open, guessers))
            operator, over = web.browser("operator"), Event()
            before = freeze(operator, self.devices[0])[1]
            self.findings.at_most("seconds: a freeze before", before)
            megabytes = web.megabytes()
            attacks = [pool.submit(each.attack, over) for each in guessers]
            try:
                self.freeze(operator, lambda: web.megabytes() - megabytes)
            finally:
                over.set()
            answers = sum((each.result() for each in attacks), Counter[int]())
        for status, count in answers.items():
            self.findings.numbers[f"sign-ins answered {status}"] = count
        if set(answers) - {200, 429}:
            self.findings.violations.append(f"sign-ins are {sorted(answers)}")

    def freeze(self, operator: Browser, more: Callable[[], float]) -> None:
        devices, ends = cycle(self.devices), time.monotonic() + self.options["duration"]
        seconds, megabytes = [], []
        while time.monotonic() < ends:
            status, duration = freeze(operator, next(devices))
            if status != 200:
                self.findings.violations.append(f"a freeze is {status}")
            seconds.append(duration)
            megabytes.append(more())
            time.sleep(PAUSE_SECONDS)
        self.limit("seconds: slowest freeze", max(seconds), FREEZE_SECONDS)
        self.limit("MB more for sign-ins", max(megabytes), MEGABYTES)

    def check(self, what: str, answers: list[Answer], most: float) -> None:
        self.findings.numbers[what] = len(answers)
        slowest = max([answer.seconds for answer in answers], default=0.0)
        self.limit(f"seconds: slowest of the {what}", slowest, most)
        wrong = [each.status for each in answers if each.status != 200]
        if wrong:
            self.findings.violations.append(
                f"{len(wrong)} {what} are {sorted(set(wrong))}"
            )

    def limit(self, what: str, value: float, most: float) -> None:
        """Note a figure; beyond its limit it is a violation, where time counts."""
        self.findings.at_most(what, value)
        if value > most and not self.options["facts"]:
            self.findings.violations.append(f"{what}: {value:.2f}, at most {most:g}")
