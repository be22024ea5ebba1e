"""Another process writes to the database: pages do not wait, and changes end soon.

The limits of time are for a quiet machine; with `--facts` time does not count.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import requests

from tests.chaos import product
from tests.chaos.report import Findings
from tests.chaos.stage import Stage
from tests.chaos.web import web_server
from tests.operation_helpers import write_requests
from tests.operations.deployment import Browser
from tests.own_database import other_writer

READ_SECONDS, CHANGE_SECONDS = 0.5, 10.0
# An answer is waited for so long while the lock is held; the second in the control.
PATIENCE, CONTROL_PATIENCE = 60.0, 3.0
PAGES = [
    "/", "/devices/", "/policies/", "/operations/", "/failures/", "/audit/",
    "/inventory/", "/accounts/password/", "/accounts/rights/",
]  # fmt: skip
SIGN_IN = "/accounts/login/"
SAID = "another process is writing to it. Nothing was changed or sent."
# The rate limit is written to the database, too.
SETTINGS = {"IOTDA_RATE": "100"}
CONTROL = {
    "DJANGO_SETTINGS_MODULE": "tests.chaos.control_settings",
    "DATABASE_LOCK_TIMEOUT": "600",
}


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    return Attack(stage, options).run()


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    """Let pages and changes wait as long as the lock is held."""
    attack = Attack(stage, options | {"hold": 0})
    attack.pages, attack.patience = PAGES[:1], CONTROL_PATIENCE
    return attack.run(**CONTROL)


class Attack:
    def __init__(self, stage: Stage, options: dict[str, Any]) -> None:
        self.stage, self.options, self.findings = stage, options, Findings()
        devices = stage.desk(product.direct_devices)
        self.device = next(id for id, now in devices.items() if now != "FROZEN")
        [policy, *_others] = stage.desk(product.policies)
        self.pages = [*PAGES, f"/devices/{self.device}/", f"/policies/{policy}/"]
        self.patience = PATIENCE

    def run(self, **settings: str) -> Findings:
        self.findings.at_most("load of the machine before", os.getloadavg()[0])
        with web_server(self.stage.cloud, **SETTINGS, **settings) as web:
            reader, operator = web.browser("admin"), web.browser("operator")
            freeze = form_of(operator.http, f"{web.base}/devices/{self.device}/freeze/")
            sign_in = form_of(requests.Session(), web.base + SIGN_IN)
            for page in self.pages:
                # The first page of a process takes longer.
                reader.http.get(web.base + page)
            self.stage.desk(product.age_sessions)
            with other_writer():
                reads = [partial(self.read, reader, page) for page in self.pages]
                changes = [partial(self.change, each) for each in (freeze, sign_in)]
                self.side_by_side(reads, changes)
            if write_requests(self.stage.cloud):
                self.findings.violations.append("a change was sent under the lock")
            # The form was complete: without the lock it is accepted.
            if (status := freeze(timeout=PATIENCE).status_code) != 200:
                self.findings.violations.append(f"after the lock a freeze is {status}")
        return self.findings

    def side_by_side(self, *groups: Sequence[Callable[[], None]]) -> None:
        """Repeat each group until the time is over, at least once."""
        until = time.monotonic() + self.options["hold"]

        def repeat(group: Sequence[Callable[[], None]]) -> None:
            for act in group:
                act()
            while time.monotonic() < until:
                for act in group:
                    act()

        with ThreadPoolExecutor(len(groups)) as pool:
            list(pool.map(repeat, groups))

    def read(self, browser: Browser, page: str) -> None:
        url = browser.base + page
        answer = self.timed("page", partial(browser.http.get, url), READ_SECONDS)
        if answer and answer.status_code != 200:
            self.findings.violations.append(f"{page} is {answer.status_code}")

    def change(self, form: Callable[..., requests.Response]) -> None:
        answer = self.timed("change", form, CHANGE_SECONDS)
        if answer and (answer.status_code != 503 or SAID not in answer.text):
            self.findings.violations.append(f"{answer.url} is {answer.status_code}")

    def timed(
        self, what: str, send: Callable[..., requests.Response], most: float
    ) -> requests.Response | None:
        """Send a request, and note how long its answer takes."""
        began = time.monotonic()
        try:
            answer = send(timeout=self.patience)
        except requests.Timeout as error:
            self.findings.violations.append(f"a {what} waits for the lock: {error}")
            return None
        seconds = time.monotonic() - began
        self.findings.numbers[f"{what}s under the lock"] += 1
        self.findings.at_most(f"seconds: slowest {what}", seconds)
        if seconds > most and not self.options["facts"]:
            self.findings.violations.append(f"{answer.url}: {seconds:.2f} s")
        return answer


def form_of(http: requests.Session, url: str) -> Callable[..., requests.Response]:
    """Return a function that sends the form of this page."""
    hidden = r'<input type="hidden" name="(\w+)" value="([^"]*)"'
    form = dict(re.findall(hidden, http.get(url).text))
    typed = {"reason": "chaos", "username": "ann", "password": "a-password-1"}
    return partial(http.post, url, form | typed)
