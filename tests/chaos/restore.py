"""Backups taken at random moments of an operation, restored after random later work."""

import random
import time
from math import ceil
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from iotda_admin.rate import connection
from tests.chaos import product, truth
from tests.chaos.forks import Child
from tests.chaos.report import Findings
from tests.chaos.stage import Stage
from tests.chaos.truth import Change, Entry, Platform

WRITES = (*truth.CALLS, truth.TASK)
FAST = {"task_delay_s": 0.02, "task_speed": 2000}
BY_TASK_ABOVE = 40
UNDOES = {
    "device.freeze": "device.unfreeze",
    "device.unfreeze": "device.freeze",
    "policy.bind": "policy.unbind",
    "policy.unbind": "policy.bind",
}
# A worker goes on this often before a user is asked.
ROUNDS = 4
# So many seconds are waited for calls, which a batch task does not make.
PATIENCE = 0.2


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    return attack(stage, options)


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    """Run the same without holding old work: it has to fail."""
    product.send_old_work()  # in the workers, which are forks of this process
    stage.desk(product.send_old_work)
    return attack(stage, options)


def attack(stage: Stage, options: dict[str, Any]) -> Findings:
    own, findings = Attack(stage, options["seed"]), Findings()
    for _backup in range(options["backups"]):
        own.point(findings)
    return findings


class Attack:
    def __init__(self, stage: Stage, seed: int) -> None:
        self.cloud, self.desk = stage.cloud, stage.desk
        self.seed, self.number, self.chance = seed, 0, random.Random(seed)
        self.desk(product.disable_logging)
        self.desk(product.freeze_by_task_above, BY_TASK_ABOVE)
        devices = self.desk(product.direct_devices)
        self.devices = sorted(devices)
        bindings = self.cloud.call("GET", "bindings", params={"target_type": "device"})[
            "bindings"
        ]
        pairs = {(row["policy_id"], row["target_id"]) for row in bindings}
        self.policies = sorted({policy for policy, _id in pairs})
        frozen = [id for id, status in devices.items() if status == "FROZEN"]
        self.platform = Platform(frozen, pairs)

    def point(self, findings: Findings) -> None:
        """Restore one backup, and see what is sent without and with a user."""
        self.number += 1
        change, file = self.change(), self.desk(product.new_backup, self.number)
        self.cloud.switch(latency_ms=self.chance.choice([5, 20, 60]), **FAST)
        self.cloud.call("DELETE", "journal")
        key = self.key(0)
        self.desk(product.create_operation, change.verb, change.ids, change.policy, key)
        self.back_up_meanwhile(file, change)
        self.desk(product.run_until_finished, [key])
        self.work_later(change)
        self.platform.read(self.cloud.journal())
        self.cloud.call("DELETE", "journal")
        self.desk(product.put_back, file)
        at_restore = self.desk(product.records, key)
        for _round in range(ROUNDS):
            self.desk(product.expire_leases_and_waits)
            self.desk(product.run_worker)
        where = f"seed {self.seed} backup {self.number} ({change.verb} of {len(change.ids)})"
        wrong = [
            f"{entry['operation']} of {len(entry['target_ids'])} targets sent unasked"
            for entry in self.writes()
        ]
        held = self.desk(product.continue_held, key)
        look = self.desk(product.run_until_finished, [key])[-1][0]
        self.platform.read(self.cloud.journal())
        wrong += truth.identity(change, look) + self.false_records(change, look)
        findings.violations += [f"{where}: {line}" for line in wrong]
        findings.numbers["backups"] += 1
        findings.numbers["held"] += held
        findings.numbers["targets_open_in_backup"] += sum(
            state in ("pending", "sent", "unknown")
            for state in at_restore.targets.values()
        )
        findings.numbers["calls_after_a_user_continued"] += len(self.writes())

    def key(self, part: int) -> str:
        return f"{self.seed & 0xFFFFFFFF:08x}{self.number:012x}{part:012x}"

    def change(self) -> Change:
        verb = self.chance.choice(sorted(UNDOES))
        policy = "" if verb.startswith("device.") else self.chance.choice(self.policies)
        ids = self.chance.sample(self.devices, len(self.devices))
        wanted = Change(verb, (), policy)
        ids.sort(key=lambda id: self.platform.has_effect(wanted, id))
        most = 60 if policy or self.chance.random() < 0.3 else 25
        return Change(verb, tuple(ids[: self.chance.randint(10, most)]), policy)

    def back_up_meanwhile(self, file: Path, change: Change) -> None:
        """Back up when some calls have arrived, however fast this machine is."""
        child = Child(work)
        child.pipe.recv()
        calls = ceil(len(change.ids) / 20) if change.policy else len(change.ids)
        arrived, until = self.chance.randrange(calls), time.monotonic() + PATIENCE
        while len(self.writes()) < arrived and time.monotonic() < until:
            time.sleep(0.001)
        self.desk(product.back_up_to, file)
        child.wait()

    def work_later(self, change: Change) -> None:
        """Undo the change, in part; sometimes do it once more."""
        verb = change.verb
        for part in range(1, self.chance.randint(2, 4)):
            verb = UNDOES[verb]
            some = self.chance.sample(
                change.ids, self.chance.randint(1, len(change.ids))
            )
            key = self.key(part)
            self.desk(product.create_operation, verb, some, change.policy, key)
            self.desk(product.run_until_finished, [key])

    def writes(self) -> list[Entry]:
        return [e for e in self.cloud.journal() if e["operation"] in WRITES]

    def false_records(self, change: Change, look: product.Records) -> list[str]:
        wrong = [] if look.ended else ["not ended"]
        for id, state in look.targets.items():
            refused = state == "failed" and look.codes[id].startswith("IOTDA.")
            if state not in truth.SUCCEEDED and not refused:
                wrong.append(f"{id} recorded {state} {look.codes[id]}")
        for id in truth.applied(self.cloud.journal()):
            if look.targets.get(id) not in truth.SUCCEEDED:
                wrong.append(f"{id} applied, recorded {look.targets.get(id)}")
            elif not self.platform.has_effect(change, id):
                wrong.append(f"{id} does not stand")
        return wrong


def work(pipe: Connection) -> None:
    """Run a worker in a child until nothing is due."""
    product.disable_logging()
    connection.client.cache_clear()
    pipe.send("ready")
    product.run_worker()
