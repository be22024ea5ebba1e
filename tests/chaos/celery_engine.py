"""kill -9 of two Celery workers and their children during a batch; beat runs on."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

from redis import Redis

from tests.chaos import product, truth
from tests.chaos.report import Findings
from tests.chaos.stage import Stage
from tests.chaos.truth import Change, Platform
from tests.cloud import ROOT

KEY = "f" * 32
WORKERS = 2
PATIENCE = 15.0
# Seconds without progress after which the run ends.
STANDSTILL = 60.0
CONTROL_STANDSTILL = 12.0
# How long a call takes, and how many are under way. A few targets go slowly, else they are done too soon.
PACE, SLOW_PACE, FEW = (50, 8), (400, 2), 2000


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    return Attack(stage, options, "tests.settings", STANDSTILL).run()


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    """Run the same without the periodic jobs, so that no one reconciles."""
    few = options | {"targets": min(400, options["targets"]), "kills": 1}
    return Attack(stage, few, "tests.chaos.celery_alone", CONTROL_STANDSTILL).run()


class Attack:
    def __init__(
        self, stage: Stage, options: dict[str, Any], settings: str, standstill: float
    ) -> None:
        self.cloud, self.desk, self.settings, self.standstill = (
            stage.cloud,
            stage.desk,
            settings,
            standstill,
        )
        self.targets, self.kills = options["targets"], options["kills"]
        self.latency_ms, self.in_flight = SLOW_PACE if self.targets < FEW else PACE
        self.redis = Redis.from_url(os.environ["CELERY_BROKER_URL"])
        self.redis.flushdb()
        self.folder = os.environ["TEST_DATA_DIR"]
        self.workers: list[subprocess.Popen[bytes]] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.found = Findings()

    def run(self) -> Findings:
        self.cloud.switch(latency_ms=self.latency_ms)
        change, before = self.change(), Platform((), self.bound())
        self.desk(product.create_operation, change.verb, change.ids, change.policy, KEY)
        started = time.monotonic()
        self.desk(product.dispatch_operation, KEY)
        try:
            self.start("beat", "--pidfile=", f"--schedule={self.folder}/schedule")
            self.start_workers()
            for number in range(self.kills):
                if self.until_begun(self.targets * (number + 1) // (self.kills + 1)):
                    self.kill(change, before)
                    self.start_workers()
            look = self.rest()
        finally:
            self.stop()
        self.found.at_most("seconds_to_the_end", time.monotonic() - started)
        self.check(change, look, before)
        return self.found

    def change(self) -> Change:
        ids = sorted(self.desk(product.direct_devices))[: self.targets]
        assert len(ids) == self.targets, "too few devices are simulated"
        return Change(
            "policy.bind",
            tuple(ids),
            sorted(row["policy_id"] for row in self.bindings())[0],
        )

    def bindings(self) -> list[dict[str, Any]]:
        return self.cloud.call("GET", "bindings", params={"target_type": "device"})[
            "bindings"
        ]

    def bound(self) -> set[tuple[str, str]]:
        return {(row["policy_id"], row["target_id"]) for row in self.bindings()}

    def start_workers(self) -> None:
        self.workers = [
            self.start("worker", "--concurrency=2", f"--hostname={number}@%h")
            for number in range(WORKERS)
        ]

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "iotda_admin"]
        env = os.environ | {
            "DJANGO_SETTINGS_MODULE": self.settings,
            "IOTDA_IN_FLIGHT": str(self.in_flight),
            # Leases of the killed workers run out that much sooner.
            "IOTDA_DEADLINE": "1.5",
        }
        process = subprocess.Popen(
            [*command, *words],
            cwd=ROOT,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def stop(self) -> None:
        kill_groups(self.processes)

    def until_begun(self, n: int) -> bool:
        deadline = time.monotonic() + STANDSTILL
        while self.desk(product.count_answered, KEY) < n:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def kill(self, change: Change, before: Platform) -> None:
        kill_groups(self.workers)
        look = self.desk(product.records, KEY)
        self.found.numbers["kills"] += len(self.workers)
        self.found.numbers["mid_batch"] += bool(look.chunks_in("sent"))
        self.found.numbers["chunks_sent_at_death"] += look.chunks_in("sent")
        self.found.violations += truth.at_death(change, look, self.journal(), before)

    def journal(self) -> list[dict[str, Any]]:
        """Return the journal after all calls of the killed workers are carried out."""
        deadline = time.monotonic() + PATIENCE
        while truth.still_under_way(entries := self.cloud.journal("BindDevicePolicy")):
            assert time.monotonic() < deadline, "the platform does not end a call"
            time.sleep(0.05)
        return entries

    def rest(self) -> product.Records:
        """Wait until the operation ends or makes no more progress."""
        last, since = -1, time.monotonic()
        while last < self.targets and time.monotonic() - since < self.standstill:
            if (settled := self.desk(product.count_with_outcome, KEY)) != last:
                last, since = settled, time.monotonic()
            time.sleep(0.1)
        return self.desk(product.records, KEY)

    def check(self, change: Change, look: product.Records, before: Platform) -> None:
        entries, now = self.journal(), Platform((), before.has)
        now.read(entries)
        states = Counter(look.targets.values())
        self.found.numbers.update(
            {f"targets_{state}": n for state, n in states.items()}
        )
        lost = self.targets - states["ok"] - states["already"]
        self.found.numbers["lost"] += lost
        binds = Counter(
            id for entry in truth.of(change, entries) for id in entry["applied"]
        )
        self.found.numbers["twice"] += sum(times > 1 for times in binds.values())
        wrong = truth.identity(change, look) + truth.in_the_end(
            change, look, entries, before, now
        )
        wrong += (
            [f"{lost} of {self.targets} are neither ok nor already"] if lost else []
        )
        bound = self.bound()
        wrong += [
            f"{id} is not bound"
            for id in change.ids
            if (change.policy, id) not in bound
        ]
        self.found.violations += wrong


def kill_groups(processes: "list[subprocess.Popen[bytes]]") -> None:
    """Kill the processes and their children with SIGKILL."""
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
