"""Random schedules of faults, each from its own seed: changes of all kinds run until nothing is open."""

import random
from collections import Counter
from typing import Any

from tests.chaos import product, truth
from tests.chaos.report import Findings
from tests.chaos.stage import Stage
from tests.chaos.truth import Change, Platform

TARGETS = 200
SHARES = {
    "policy.bind": 105,
    "policy.unbind": 60,
    "device.freeze": 18,
    "device.unfreeze": 17,
}
# Seconds of IOTDA_DEADLINE while the faults are met, and before.
DEADLINE, PATIENCE = 0.3, 60
WRITES = [*truth.CALLS, truth.TASK]
READS = ["ShowDevice", "ShowTargetsInDevicePolicy", "ShowBatchTask", "ListBatchTasks"]
FAST = {"task_delay_s": 0.02, "task_speed": 2000}

# Lost or unusable answers, before or after the change was applied.
LOST: list[tuple[str, dict[str, Any]]] = [
    ("drop", {}),
    ("reset", {}),
    ("reset", {"started": True}),
    ("truncate", {"length": True}),
    ("truncate", {"length": False}),
    # So slow that even the shortest answer outlasts the deadline: in time it would be a lie, not a fault.
    ("drip_body", {"seconds": 0.02}),
    ("dup_key", {}),
    ("bad_json", {}),
    ("empty", {}),
    ("html", {"status": 502}),
    ("html", {}),
    ("error_200", {}),
    ("redirect", {"status": 307}),
    ("status", {"status": 500}),
    ("status", {"status": 502}),
    ("status", {"status": 503}),
    ("status", {"status": 504}),
]
SHAPES = [
    "missing_target",
    "extra_target",
    "dup_target",
    "both_lists",
    "wrong_policy_id",
    "bad_types",
]
SWITCHES: dict[str, list[Any]] = {
    "already_bound": ["success", "failure"],
    "not_bound": ["success", "failure"],
    "repeat_freeze": ["error", "ok"],
    "repeat_unfreeze": ["error", "ok"],
    "after_unfreeze": ["offline", "inactive", "online"],
    "echo_targets": ["create", "always"],
}


def schedule(chance: random.Random, changes: list[Change]) -> list[dict[str, Any]]:
    """One to five faults, each for some of the calls."""
    return [fault(chance, chance.choice(changes)) for _n in range(chance.randint(1, 5))]


def fault(chance: random.Random, change: Change) -> dict[str, Any]:
    moment = chance.choice(["before", "after"])
    often = {"p": chance.choice([0.05, 0.2, 0.5]), "seed": chance.randrange(2**31)}
    once = {"nth": chance.randint(1, 6), "times": 1}
    bad = {"ids": [chance.choice(change.ids)]}
    kind, args = chance.choice(LOST)
    some_ids = {"ids": chance.sample(change.ids, 2), "times": chance.randint(1, 4)}
    match chance.randint(1, 12):
        case 1 | 2 | 3:
            return order(WRITES, often, kind, **args, moment=moment)
        case 4:
            return order(WRITES, some_ids, kind, **args, moment=moment)
        case 5:
            return order(READS, often | {"times": 8}, kind, **args, moment=moment)
        case 6:
            return order(
                WRITES,
                often | {"times": 6},
                "throttle",
                retry_after=chance.choice([0, 1, 30]),
            )
        case 7:
            return order(WRITES, often, chance.choice(SHAPES))
        case 8:
            code = chance.choice(["IOTDA.000006", "IOTDA.000010"])
            return order(
                WRITES, bad, "status", status=400, error_code=code, error_msg="Bad id."
            )
        case 9:
            return order(WRITES, once, "delete_policy")
        case 10:
            status = chance.choice([401, 403, 404, 409])
            return order(WRITES, once, "status", status=status, error_code="APIGW.0301")
        case 11:
            return order(
                WRITES,
                once,
                chance.choice(["hang", "latency"]),
                seconds=0.4,
                moment=moment,
            )
        case _:
            return order(WRITES, {"nth": [2, 5, 8]}, "expire_tokens")


def order(
    operations: list[str], match: dict[str, Any], fault: str, **args: Any
) -> dict[str, Any]:
    return {"match": {"operation": operations, **match}, "fault": fault, "args": args}


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    attack = Attack(stage)
    findings = Findings()
    for number in range(options["part"], options["n"], options["parts"]):
        attack.one(options["seed"] + number, findings)
    return findings


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    stage.desk(product.every_error_is_a_failure)
    attack = Attack(stage)
    findings = Findings()
    for number in range(min(options["n"], 10)):
        attack.one(options["seed"] + number, findings)
        if findings.violations:
            break
    return findings


class Attack:
    def __init__(self, stage: Stage) -> None:
        self.cloud, self.desk = stage.cloud, stage.desk
        self.devices = self.desk(product.direct_devices)
        rows = self.cloud.call("GET", "bindings", params={"target_type": "device"})[
            "bindings"
        ]
        self.policies = sorted({row["policy_id"] for row in rows})
        frozen = {("", id) for id, status in self.devices.items() if status == "FROZEN"}
        self.at_start = frozen | {(row["policy_id"], row["target_id"]) for row in rows}
        self.desk(product.keep_inventory)

    def one(self, seed: int, findings: Findings) -> None:
        """The seed alone decides the requests and the faults."""
        chance = random.Random(seed)
        self.cloud.reset(
            300,
            **FAST,
            **{name: chance.choice(values) for name, values in SWITCHES.items()},
        )
        # Freezing one by one, or by the platform's batch task.
        self.desk(product.freeze_by_task_above, chance.choice([5, 500]))
        changes = self.changes(chance)
        self.desk(product.set_deadline, PATIENCE)
        platform = self.prepare(changes, chance.random() < 0.5)
        self.desk(product.set_deadline, DEADLINE)
        before = Platform((), platform.has)
        keys = [f"{seed & 0xFFFFFFFF:08x}{n:024x}" for n in range(len(changes))]
        faults = schedule(chance, changes)
        for one in faults:
            self.cloud.call("POST", "faults", json=one)
        wanted = [(change.verb, change.ids, change.policy) for change in changes]
        # A call that outlives its deadline is carried out in time for the reading back, as in reality.
        pause = 0.15 if any(one["fault"] == "latency" for one in faults) else 0.0
        looks = self.desk(
            product.run_all, wanted, keys, chance.choice(["aksk", "password"]), pause
        )
        entries = self.cloud.journal()
        platform.read(entries)
        gone = {
            entry["policy_id"] for entry in entries if entry["fault"] == "delete_policy"
        }
        wrong = []
        for n, change in enumerate(changes):
            steps = [look[n] for look in looks]
            wrong += [line for look in steps for line in truth.identity(change, look)]
            wrong += truth.in_the_end(
                change, steps[-1], entries, before, platform, change.policy in gone
            )
        findings.violations += [f"seed {seed}: {line}" for line in wrong]
        self.count(faults, looks, entries, findings)

    def changes(self, chance: random.Random) -> list[Change]:
        """Together TARGETS targets, no target twice."""
        ids = chance.sample(sorted(self.devices), TARGETS)
        policies = chance.sample(self.policies, 2)
        changes = []
        for verb, n in SHARES.items():
            policy = policies.pop() if verb.startswith("policy.") else ""
            changes.append(Change(verb, tuple(ids[:n]), policy))
            ids = ids[n:]
        chance.shuffle(changes)
        return changes

    def prepare(self, changes: list[Change], mirrored: bool) -> Platform:
        """Apply what will be undone. The inventory knows it, or has not read it yet."""
        self.desk(product.restore_inventory)
        undone = [change for change in changes if not truth.EXPECTED[change.verb]]
        self.desk(
            product.prepare_changes_to_undo,
            [(c.ids, c.policy) for c in undone],
            mirrored,
        )
        platform = Platform((), self.at_start)
        platform.read(self.cloud.journal())
        self.cloud.call("DELETE", "journal")
        return platform

    def count(
        self,
        faults: list[dict[str, Any]],
        looks: list[list[product.Records]],
        entries: list[dict[str, Any]],
        findings: Findings,
    ) -> None:
        findings.numbers["schedules"] += 1
        findings.numbers["steps"] += len(looks)
        findings.numbers["calls"] += len(entries)
        findings.numbers["calls_spoilt"] += sum(
            entry["fault"] is not None for entry in entries
        )
        findings.moments.update(f"fault {one['fault']}" for one in faults)
        for look in looks[-1]:
            states = Counter(look.targets.values())
            findings.moments.update(
                {f"targets {state}": n for state, n in states.items()}
            )
        findings.at_most("most_steps", len(looks))
