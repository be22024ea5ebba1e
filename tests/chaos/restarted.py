"""PostgreSQL is restarted while pages are read: each connection in use may fail once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.databases import Cluster
from tests.chaos.report import Findings
from tests.chaos.stage import Stage
from tests.chaos.visitors import Answer, Reader
from tests.operations.deployment import Browser, Deployment, until

READERS = 20
# The others rest during a restart, so that some connections are not in use.
AT_WORK = 10
# So many answers of each reader before the first restart, and after the last.
ENOUGH = 5
CONTROL = {"DJANGO_SETTINGS_MODULE": "tests.chaos.control_settings"}


class RestingReader(Reader):
    """Reads lists without a pause, except while it rests."""

    def __init__(self, browser: Browser) -> None:
        super().__init__(browser)
        self.answers: list[Answer] = []
        self.at_work, self.idle = threading.Event(), threading.Event()
        self.at_work.set()

    def read(self, over: threading.Event) -> None:
        while not over.is_set():
            if not self.at_work.is_set():
                self.idle.set()
                self.at_work.wait()
            self.answers.append(self.get("/devices/"))

    def rest(self) -> None:
        self.idle.clear()
        self.at_work.clear()
        self.idle.wait()


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    return restart(stage, options["restarts"])


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    """Use the connections of a pool without a check."""
    return restart(stage, 1, **CONTROL)


def restart(stage: Stage, times: int, **settings: str) -> Findings:
    findings, cluster = Findings(), Cluster()
    with TemporaryDirectory(prefix="chaos-") as folder:
        deployment = Deployment(Path(folder), stage.cloud)
        deployment.env |= {"DATABASE_URL": cluster.server}
        try:
            deployment.prepare()
            deployment.env |= settings
            base = deployment.start_web("--workers", "2", "--threads", "8")
            readers = [RestingReader(Browser(base, "viewer")) for _ in range(READERS)]
            restarts = restart_under_load(cluster, readers, times)
        finally:
            deployment.kill()
            cluster.close()
    for reader in readers:
        check(findings, reader.answers, restarts)
    findings.numbers["restarts"] = times
    return findings


def restart_under_load(
    cluster: Cluster, readers: list[RestingReader], times: int
) -> list[tuple[float, float]]:
    """Return when each restart began and when it was over."""
    over, restarts = threading.Event(), []
    with ThreadPoolExecutor(len(readers)) as pool:
        reading = [pool.submit(each.read, over) for each in readers]
        try:
            for _ in range(times):
                wait_for_answers(readers)
                for each in readers[AT_WORK:]:
                    each.rest()
                began = time.monotonic()
                cluster.tool("pg_ctl", "-m", "fast", "-w", "restart")
                restarts.append((began, time.monotonic()))
                for each in readers:
                    each.at_work.set()
            wait_for_answers(readers)
        finally:
            over.set()
            for each in readers:
                each.at_work.set()
        for future in reading:
            future.result()
    return restarts


def wait_for_answers(readers: list[RestingReader]) -> None:
    """Wait until each reader has more answers."""
    enough = [len(each.answers) + ENOUGH for each in readers]
    until(
        lambda: all(
            len(each.answers) >= number
            for each, number in zip(readers, enough, strict=True)
        )
    )


def check(
    findings: Findings, answers: list[Answer], restarts: list[tuple[float, float]]
) -> None:
    """Check the answers of one reader: those that met a restart, and the others."""
    met = [
        [each for each in answers if each.ended >= began and each.began <= ended]
        for began, ended in restarts
    ]
    lost = [sum(each.status != 200 for each in of_one) for of_one in met]
    wrong = sum(each.status != 200 for each in answers) - sum(lost)
    findings.numbers["pages"] += len(answers)
    findings.numbers["pages that met a restart"] += sum(map(len, met))
    findings.numbers["of these 503"] += sum(lost)
    findings.at_most("503 of one reader in one restart", max(lost))
    findings.at_most("seconds: slowest page", max(e.seconds for e in answers))
    if max(lost) > 1:
        findings.violations.append(f"a reader lost {max(lost)} pages to one restart")
    if wrong:
        findings.violations.append(f"a reader lost {wrong} pages to no restart")
    if others := {each.status for each in answers} - {200, 503}:
        findings.violations.append(f"pages are {others}")
