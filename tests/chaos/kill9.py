"""kill -9 of a worker or web process, at named and at random moments."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from iotda_admin.rate import connection
from tests.chaos import product, truth
from tests.chaos.forks import Child
from tests.chaos.moments import MOMENTS, SPLITS, STARTS, die_at
from tests.chaos.report import Findings
from tests.chaos.stage import Stage
from tests.chaos.truth import Change, Platform

# Generous: a loaded machine may take long to start a process.
PATIENCE = 60.0
WRITES = [*truth.CALLS, truth.TASK]
READS = ["ShowDevice", "ShowTargetsInDevicePolicy", "ShowBatchTask", "ListBatchTasks"]
# Batch tasks are fast, and some freezes use them.
FAST = {"task_delay_s": 0.02, "task_speed": 2000}
BY_TASK_ABOVE = 12
VERBS = [
    "policy.bind",
    "policy.bind",
    "policy.unbind",
    "device.freeze",
    "device.unfreeze",
]


@dataclass(frozen=True)
class Plan:
    """Which process dies when.

    Without a step: from outside, after some time or at a call that the platform holds.
    """

    role: str  # worker, web or recovery
    name: str
    step: tuple[str, str, int] | None = None
    holds: dict[str, Any] | None = None
    spoilt: bool = False  # one target ID is invalid: its chunk has to be split


def plans(chance: random.Random) -> Iterator[Plan]:
    """Yield random and named moments in turn."""
    while True:
        for step, side in MOMENTS:
            yield Plan("worker", f"{side} {step}", (step, side, chance.randint(1, 4)))
            yield Plan("worker", "at random")
        for moment in ("before", "after"):
            hold = {"operation": WRITES, "nth": chance.randint(1, 4), "moment": moment}
            yield Plan("worker", f"during a call, {moment} applying", holds=hold)
            yield Plan("worker", "at random")
            hold = {"operation": WRITES, "nth": 1, "moment": moment}
            yield Plan("web", f"web: during a call, {moment} applying", holds=hold)
        for step, side in STARTS:
            yield Plan("web", f"web: {side} {step}", (step, side, 1))
            yield Plan("worker", "at random")
        for step, side in SPLITS:
            yield Plan("worker", f"{side} {step}", (step, side, 1), spoilt=True)
        yield Plan("worker", "at random, with a split", spoilt=True)
        yield Plan("web", "web: at random")
        yield Plan(
            "recovery",
            "during a read-back",
            holds={"operation": READS, "nth": chance.randint(1, 3)},
        )
        for side in ("before", "after"):
            yield Plan(
                "recovery",
                f"read-back: {side} record",
                ("record", side, chance.randint(1, 2)),
            )
        yield Plan("recovery", "read-back: at random")


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    attack = Attack(stage, options["seed"])
    findings = Findings()
    source = plans(attack.chance)
    while findings.numbers["points"] < options["points"]:
        attack.point(next(source), findings)
    findings.violations += attack.compare()
    return findings


# Killed while IoTDA holds back the answer of an applied call: nothing is random here.
CONTROL = Plan(
    "worker",
    "during a call, after applying",
    holds={"operation": list(truth.CALLS), "nth": 1, "moment": "after"},
)


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    """Run the same with one transaction around calls and records: it has to fail."""
    attack = Attack(stage, options["seed"], intents=False)
    findings = Findings()
    while findings.numbers["points"] < options["points"] and not findings.violations:
        attack.point(CONTROL, findings)
    return findings


class Attack:
    def __init__(self, stage: Stage, seed: int, *, intents: bool = True) -> None:
        self.stage, self.cloud, self.desk, self.intents = (
            stage,
            stage.cloud,
            stage.desk,
            intents,
        )
        self.seed, self.number, self.chance = seed, 0, random.Random(seed)
        self.desk(product.freeze_by_task_above, BY_TASK_ABOVE)
        self.devices = self.desk(product.direct_devices)
        self.policies = sorted({row["policy_id"] for row in self.bindings()})
        frozen = [id for id, status in self.devices.items() if status == "FROZEN"]
        self.platform = Platform(frozen, self.bound())
        # Seconds a process runs, adapted so that about half of them are killed in time.
        self.life = {"worker": 0.15, "web": 0.1, "recovery": 0.1}

    def bindings(self) -> list[dict[str, Any]]:
        return self.cloud.call("GET", "bindings", params={"target_type": "device"})[
            "bindings"
        ]

    def bound(self) -> set[tuple[str, str]]:
        return {(row["policy_id"], row["target_id"]) for row in self.bindings()}

    def point(self, plan: Plan, findings: Findings) -> None:
        """Kill one process and check the records; it may have finished first."""
        self.number += 1
        key = f"{self.seed & 0xFFFFFFFF:08x}{self.number:024x}"
        change = self.change(plan)
        before = Platform((), self.platform.has)
        self.cloud.switch(latency_ms=self.chance.choice([0, 2, 5, 10]), **FAST)
        self.cloud.call("DELETE", "journal")
        if plan.role != "web":
            self.desk(
                product.create_operation, change.verb, change.ids, change.policy, key
            )
        if plan.role == "recovery":
            self.leave_unknown(change)
        killed = self.kill(plan, change, key)
        self.cloud.heal()
        entries = self.rest()
        looks = self.desk(read_records_and_finish, plan, change, key)
        self.check(plan, change, looks, entries, before, killed, findings)

    def change(self, plan: Plan) -> Change:
        verb = self.chance.choice(VERBS)
        web = plan.role == "web"
        if plan.spoilt or (plan.step and plan.step[0] == "split"):
            verb = "policy.bind"
        if verb.startswith("device."):
            ids = self.some(verb, 1 if web else self.chance.randint(3, 24))
            return Change(verb, ids)
        policy = self.chance.choice(self.policies)
        n = self.chance.randint(1, 20) if web else self.chance.randint(45, 100)
        return Change(verb, self.some(verb, n, policy), policy)

    def some(self, verb: str, n: int, policy: str = "") -> tuple[str, ...]:
        """Return mostly devices that the verb would change."""
        ids = self.chance.sample(sorted(self.devices), len(self.devices))
        ids.sort(key=lambda id: self.platform.has_effect(Change(verb, (), policy), id))
        keep = int(n * 0.9) or 1
        return tuple(ids[:keep] + self.chance.sample(ids[keep:], n - keep))

    def leave_unknown(self, change: Change) -> None:
        """Lose answers, so that targets have to be read back."""
        self.cloud.fault(
            WRITES, "drop", match={"p": 0.7, "seed": self.number}, moment="after"
        )
        self.desk(product.run_worker)
        self.cloud.heal()

    def kill(self, plan: Plan, change: Change, key: str) -> bool:
        if plan.spoilt:
            bad = {"operation": WRITES, "ids": [self.chance.choice(change.ids)]}
            self.fault(
                bad,
                "status",
                status=400,
                error_code="IOTDA.000006",
                error_msg="Bad id.",
            )
        if plan.holds:
            match = {
                name: value for name, value in plan.holds.items() if name != "moment"
            }
            self.fault(match, "hang", moment=plan.holds.get("moment", "before"))
        child = Child(run_until_killed, plan, change, key, self.intents)
        try:
            child.pipe.recv()
        except EOFError:
            return child.wait()
        if plan.holds:
            self.until_held(child)
        elif not plan.step:
            self.let_live(plan.role, child)
        else:
            self.until(child.ended)
        child.kill()
        return child.wait()

    def fault(self, match: dict[str, Any], fault: str, **args: Any) -> None:
        self.cloud.call(
            "POST", "faults", json={"match": match, "fault": fault, "args": args}
        )

    def let_live(self, role: str, child: Child) -> None:
        time.sleep(self.chance.random() * self.life[role])
        self.life[role] *= 0.95 if child.ended() else 1.03

    def until_held(self, child: Child) -> None:
        held = self.until(
            lambda: (
                child.ended() or any(e["fault"] == "hang" for e in self.cloud.journal())
            )
        )
        assert held

    def until(self, holds: Any) -> bool:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.003)
        return True

    def rest(self) -> list[dict[str, Any]]:
        """Return the journal after all calls of the killed process are carried out."""
        assert self.until(lambda: not truth.still_under_way(self.cloud.journal()))
        return self.cloud.journal()

    def check(
        self,
        plan: Plan,
        change: Change,
        looks: list[product.Records],
        at_death: list[dict[str, Any]],
        before: Platform,
        killed: bool,
        findings: Findings,
    ) -> None:
        entries = self.cloud.journal()
        self.platform.read(entries)
        wrong = truth.at_death(change, looks[0], at_death, before)
        for look in looks:
            wrong += truth.identity(change, look)
        wrong += truth.in_the_end(change, looks[-1], entries, before, self.platform)
        wrong += [
            f"{id} still unknown"
            for id, state in looks[-1].targets.items()
            if state == "unknown"
        ]
        where = f"seed {self.seed} point {self.number} ({plan.name}, {change.verb} of {len(change.ids)})"
        findings.violations += [f"{where}: {line}" for line in wrong]
        self.count(plan, looks[0], killed, findings)

    def count(
        self, plan: Plan, look: product.Records, killed: bool, findings: Findings
    ) -> None:
        if not killed:
            findings.numbers["ended_first"] += 1
            return
        findings.numbers["points"] += 1
        findings.numbers["mid_batch"] += bool(look.chunks_in("sent"))
        findings.numbers["chunks_sent_at_death"] += look.chunks_in("sent")
        findings.numbers["targets"] += len(look.targets)
        findings.moments[plan.name] += 1

    def compare(self) -> list[str]:
        """Compare the journal with the simulator's state, on which all checks rely."""
        devices = self.desk(product.direct_devices)
        has = {
            ("", id) for id, status in devices.items() if status == "FROZEN"
        } | self.bound()
        ours = {key for key in self.platform.has if key[0] or key[1] in devices}
        return [
            f"seed {self.seed}: the journal disagrees with the platform: {k}"
            for k in sorted(has ^ ours)
        ]


def read_records_and_finish(
    plan: Plan, change: Change, key: str
) -> list[product.Records]:
    """Return the records of one operation: after the kill, then at each later step."""
    looks = [product.records(key)]
    if plan.role == "web":
        # The browser repeats a form without an answer: still one operation.
        product.send_form_again(change.verb, change.ids, change.policy, key)
    return looks + [look for (look,) in product.run_until_finished([key])]


def run_until_killed(
    pipe: Connection, plan: Plan, change: Change, key: str, intents: bool
) -> None:
    """Run the worker's or the web server's job in a child until it is killed."""
    product.disable_logging()
    connection.client.cache_clear()
    page = product.browser() if plan.role == "web" else None
    if plan.role == "recovery":
        product.expire_leases_and_waits()
    if plan.step:
        die_at(*plan.step)
    pipe.send("ready")
    if page:
        product.send_form(page, change.verb, change.ids, change.policy, key)
    elif intents:
        product.run_worker()
    else:
        with product.intents_off():
            product.run_worker()
