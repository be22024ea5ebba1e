"""Every way an answer can be spoilt on the wire, for each kind of change, before and after it was applied."""

import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from iotda_admin.rate import connection
from tests.chaos import product, truth
from tests.chaos.forks import call_in_child
from tests.chaos.report import Findings
from tests.chaos.stage import Stage
from tests.chaos.truth import Change, Platform
from tests.iotda.stopwatch import Stopwatch

DEADLINE = 0.5
LATE = 1.1
MEGABYTES = 32.0
SLOW = 0.02  # seconds between two bytes of a drip: the whole takes several deadlines

FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "hang": ("hang", {}),
    "late": ("latency", {"seconds": 1.2 * DEADLINE}),
    "drop": ("drop", {}),
    "reset": ("reset", {}),
    "reset in the body": ("reset", {"started": True}),
    "truncated": ("truncate", {"length": True}),
    "truncated, no length": ("truncate", {"length": False}),
    "dripped headers": ("drip_headers", {"seconds": SLOW}),
    "dripped body": ("drip_body", {"seconds": SLOW}),
    "huge": ("huge", {}),
    "gzip bomb": ("gzip_bomb", {}),
    "deep JSON": ("deep_json", {}),
    "duplicate key": ("dup_key", {}),
    "bad JSON": ("bad_json", {}),
    "empty": ("empty", {}),
    "html": ("html", {}),
    "html 502": ("html", {"status": 502}),
    "error under 200": ("error_200", {}),
    "redirect 302": ("redirect", {"status": 302}),
    "redirect 307": ("redirect", {"status": 307}),
    "500": ("status", {"status": 500}),
    "502": ("status", {"status": 502}),
    "503": ("status", {"status": 503}),
    "504": ("status", {"status": 504}),
}
# Valid JSON that says something impossible; the call itself is carried out. For bind and unbind only.
SHAPES = (
    "missing_target",
    "extra_target",
    "dup_target",
    "both_lists",
    "wrong_policy_id",
    "bad_types",
)
CALLS = {
    "device.freeze": "FreezeDevice",
    "policy.bind": "BindDevicePolicy",
    "policy.unbind": "UnbindDevicePolicy",
}
BOUND = 3  # targets of one bind


@dataclass(frozen=True)
class Case:
    name: str
    fault: str
    args: dict[str, Any]
    verb: str
    moment: str

    def __str__(self) -> str:
        return f"{self.verb}, {self.name}, {self.moment} applying"


@dataclass
class Seen:
    """The cost of one case, and the records at each check."""

    seconds: list[float] = field(default_factory=list)
    megabytes: float = 0.0
    looks: list[product.Records] = field(default_factory=list)


def cases(only: list[str]) -> list[Case]:
    found = [
        Case(name, fault, args, verb, moment)
        for name, (fault, args) in FAULTS.items()
        for verb in CALLS
        for moment in ("before", "after")
    ]
    found += [
        Case(name, name, {}, verb, "after")
        for name in SHAPES
        for verb in CALLS
        if "policy" in verb
    ]
    return [case for case in found if not only or case.name in only]


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    attack = Attack(stage)
    findings = Findings()
    for case in cases(options["faults"])[options["part"] :: options["parts"]]:
        attack.case(case, findings)
    return findings


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    """Raw requests and r.json(): what no error speaks against is taken for a success."""
    attack = Attack(stage)
    findings = Findings()
    for case in cases(options["faults"]):
        if case.verb == "policy.bind" and case.moment == "before":
            attack.naive(case, findings)
    return findings


class Attack:
    def __init__(self, stage: Stage) -> None:
        self.cloud, self.desk, self.number = stage.cloud, stage.desk, 0

    def begin(self, case: Case) -> tuple[Change, Platform]:
        """A fresh platform, and our tables agree with it."""
        self.cloud.reset(60)
        self.number += 1
        if case.fault == "gzip_bomb":
            self.pack_the_bomb()
        known = self.cloud.known_ids
        if case.verb.startswith("device."):
            change, bound = Change(case.verb, tuple(self.cloud.free(1))), []
        else:
            change = Change(
                case.verb, tuple(self.cloud.free(BOUND)), known["other_policy"]
            )
            bound = list(change.ids) if case.verb == "policy.unbind" else []
        for id in bound:
            self.cloud.call(
                "POST", "bindings", json={"policy_id": change.policy, "target_id": id}
            )
        match = {"operation": CALLS[case.verb], "times": 1}
        order = {
            "match": match,
            "fault": case.fault,
            "args": {**case.args, "moment": case.moment},
        }
        self.cloud.call("POST", "faults", json=order)
        return change, Platform((), [(change.policy, id) for id in bound])

    def pack_the_bomb(self) -> None:
        """The simulator takes longer than the deadline to pack it the first time."""
        self.cloud.fault("ListProducts", "gzip_bomb")
        self.desk(ask_for_a_page)
        self.cloud.heal()
        self.cloud.call("DELETE", "journal")

    def case(self, case: Case, findings: Findings) -> None:
        change, platform = self.begin(case)
        before = Platform((), platform.has)
        key = f"{self.number:032x}"
        self.desk(product.create_operation, change.verb, change.ids, change.policy, key)
        seen: Seen = call_in_child(send, change, key, self.cloud.control)
        entries = self.cloud.journal()
        platform.read(entries)
        wrong = (
            []
            if any(entry["fault"] == case.fault for entry in entries)
            else ["the fault hit nothing"]
        )
        wrong += truth.at_death(change, seen.looks[0], entries, before)
        for look in seen.looks:
            wrong += truth.identity(change, look)
        wrong += truth.in_the_end(change, seen.looks[-1], entries, before, platform)
        lost = [
            id
            for id, state in seen.looks[-1].targets.items()
            if state not in truth.SETTLED
        ]
        wrong += [f"{id} lost: recorded {seen.looks[-1].targets[id]}" for id in lost]
        wrong += [f"took {s:.3f} s" for s in seen.seconds if s > LATE * DEADLINE]
        wrong += [f"took {seen.megabytes:.0f} MB"] if seen.megabytes > MEGABYTES else []
        findings.violations += [f"{case}: {line}" for line in wrong]
        self.count(case, seen, findings)

    def count(self, case: Case, seen: Seen, findings: Findings) -> None:
        findings.numbers["cases"] += 1
        findings.numbers["calls"] += len(seen.seconds)
        first, last = (
            Counter(seen.looks[0].targets.values()),
            Counter(seen.looks[-1].targets.values()),
        )
        for state, n in first.items():
            findings.moments[f"targets first recorded {state}"] += n
        for state, n in last.items():
            findings.moments[f"targets in the end {state}"] += n
        findings.at_most("longest_call_s", max(seen.seconds))
        findings.at_most("extra_memory_mb", seen.megabytes)

    def naive(self, case: Case, findings: Findings) -> None:
        change, _platform = self.begin(case)
        said, seconds, megabytes = call_in_child(naive_bind, change)
        done = truth.applied(self.cloud.journal())
        wrong = [
            f"{id} called a success, never applied"
            for id in change.ids
            if said and id not in done
        ]
        wrong += [f"took {seconds:.3f} s"] if seconds > LATE * DEADLINE else []
        wrong += [f"took {megabytes:.0f} MB"] if megabytes > MEGABYTES else []
        findings.violations += [f"{case}: {line}" for line in wrong]


class Memory:
    """Megabytes that this process needs at its peak beyond what it has now."""

    def __enter__(self) -> "Memory":
        Path("/proc/self/clear_refs").write_text("5")
        self.before = status("VmRSS")
        return self

    def __exit__(self, *exception: object) -> None:
        self.megabytes = (status("VmHWM") - self.before) / 1024


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def send(change: Change, key: str, control: str) -> Seen:
    """In a fresh process: one chunk sent as a request does it, then read back until it has ended."""
    product.disable_logging()
    seen = Seen()
    product.set_deadline(DEADLINE)
    product.time_calls(seen.seconds)
    connection.client()
    product.records(key)  # the database's connection is not the call's
    with Memory() as memory:
        product.dispatch_operation(key)
    seen.megabytes = memory.megabytes
    seen.looks.append(product.records(key))
    wait_until_landed(control)
    seen.looks += [look for (look,) in product.run_until_finished([key])]
    return seen


def wait_until_landed(control: str) -> None:
    """A call that outlived its deadline may still be carried out; reading back waits as long in reality."""
    for _try in range(100):
        entries = requests.get(f"{control}/_sim/journal", timeout=5).json()["entries"]
        if not truth.still_under_way(entries):
            return
        time.sleep(0.02)


def ask_for_a_page() -> None:
    try:
        connection.client().list_products()
    except Exception:
        return


def naive_bind(change: Change) -> tuple[bool, float, float]:
    """Whether the caller believes that it went well, seconds, megabytes."""
    said = False
    with (
        Stopwatch() as watch,
        Memory() as memory,
        suppress(requests.RequestException, RecursionError),
    ):
        answer = product.raw_bind(change.policy, change.ids, DEADLINE)
        answer.raise_for_status()
        said = answer.json() is not None
    return said, watch.seconds, memory.megabytes
