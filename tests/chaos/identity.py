"""Answers about something else at all moments: no false outcome, no wrong row."""

import random
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import stamina
from django.conf import settings
from django.db.models import Model
from django.utils import timezone

from devices.models import Device, Product, Space
from devices.sync import device_row
from devices.verbs import DeviceVerb, FreezeSwitch
from iotda_admin.audit.models import Event
from iotda_admin.inventory.models import MirrorState, RemovedRow, SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.iotda import DeviceInfo, documents, policies, walk
from iotda_admin.operations import services
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.requests import OperationRequest, TargetSpec
from iotda_admin.operations.verbs import Verb, all_verbs, get_verb
from iotda_admin.rate import connection
from policies.models import Binding, Policy
from policies.verbs import PolicyVerb
from tests.batch_task_helpers import poll_tasks_now
from tests.chaos import product, truth
from tests.chaos.mix_ups import LISTINGS, READS, Answers, MixUp, Names, Question
from tests.chaos.report import Findings
from tests.chaos.stage import Stage
from tests.cloud import Cloud
from tests.operation_helpers import make_everything_due, reconcile_now, run_workers
from tests.samples import BY_VERB

# What the client checks an answer with, where it is called.
CHECKS = [(documents, "require_same"), (policies, "require_requested")]
CONTROL = 60
DEVICES = 120
BY_TASK_ABOVE = 8
FAST = {"task_delay_s": 0.0, "task_speed": 100_000}
MIRRORED: list[type[Model]] = [Space, Product, Device, Policy, Binding, MirrorState]
# A worker goes on this often while answers are mixed up, and afterwards.
MIXED_STEPS, STEPS = 3, 12
SUCCEEDED = ("ok", "already")
NOT_DONE = ("failed", "skipped", "cancelled")
TASK_CALLS = ("CreateBatchTask", "ShowBatchTask", "ListBatchTasks")
WRITES = {sample.request for sample in BY_VERB.values()} | set(truth.WORKS)
# Reads that two threads make at the same time, and writes that do.
SWAPPED = ["ListDevices", "ShowDevice", "BindDevicePolicy", "FreezeDevice"]


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    product.disable_logging()
    settings.BATCH_TASK_ABOVE = BY_TASK_ABOVE
    identity = Identity(stage.cloud, options["seed"])
    identity.rounds(options["rounds"])
    return identity.findings


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    """Take each answer for the right one; that must be found."""
    for module, name in CHECKS:
        vars(module)[name] = lambda *_: None
    return run(stage, options | {"rounds": CONTROL})


@dataclass
class Truth:
    """What IoTDA has."""

    devices: dict[str, DeviceInfo]
    bindings: set[tuple[str, str, str]]

    def reach(self, verb: Verb, policy: str) -> int:
        """Return on how few targets the verb has an effect with this policy."""
        ids = {id for one, _type, id in self.bindings if one == policy}
        return sum(self.has_effect(verb, policy, id) for id in ids) - len(ids)

    def has_effect(self, verb: Verb, policy: str, id: str) -> bool:
        if isinstance(verb, PolicyVerb):
            return ((policy, "device", id) in self.bindings) == verb.bound
        if isinstance(verb, FreezeSwitch):
            device = self.devices.get(id)
            return bool(device) and (device.status == "FROZEN") == verb.frozen
        assert not verb.row_stays, verb.name
        return id not in self.devices


@dataclass
class Round:
    """One round: its chances, what it asks for, and what was found."""

    dice: random.Random
    answers: Answers
    before: Truth
    moment: str = ""
    mixed: list[str] = field(default_factory=list)
    # Whether the mix-up can be noticed, in the end by a second answer.
    noticed: bool = True
    operations: list[Operation] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Identity:
    def __init__(self, cloud: Cloud, seed: int) -> None:
        self.cloud, self.seed, self.findings = cloud, seed, Findings()
        self.number, self.stuck = 0, False
        cloud.reset(DEVICES, **FAST)
        assert run_sync(SyncRun.objects.create(), connection.client())
        self.rows = [row for model in MIRRORED for row in all_rows(model)]
        self.direct = sorted(product.direct_devices())
        self.browser = product.browser()

    def rounds(self, least: int) -> None:
        """Run rounds until so many answers that name something were mixed up."""
        with stamina.set_testing(True, attempts=3):
            while self.findings.numbers["mix-ups"] < least and not self.stuck:
                self.number += 1
                self.round(random.Random(f"{self.seed} {self.number}"))
        self.cloud.heal()

    def round(self, dice: random.Random) -> None:
        self.begin()
        own = Round(dice, Answers(self.cloud, dice), self.truth())
        last = Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        moments = [self.look, self.send, self.lose, self.task, self.sync, self.page]
        dice.choice([*moments, self.swap])(own)
        fired = self.fired()
        self.cloud.heal()
        self.check_rows(own, self.truth())
        for operation in own.operations:
            self.finish(operation)
            self.check_outcomes(own, operation, self.truth())
            # No other operation can change its targets.
            self.stuck |= not operation.finished_at
        self.check_rows(own, self.truth())
        # Nothing was changed by others.
        for event in Event.objects.filter(pk__gt=last, kind=Event.Kind.DRIFT):
            own.wrong.append(f"recorded: {event.summary}")
        self.count(own, fired)

    def count(self, own: Round, fired: int) -> None:
        numbers = self.findings.numbers
        numbers["rounds"] += 1
        how = "; ".join(own.mixed)
        where = f"seed {self.seed} round {self.number}, {own.moment} ({how})"
        if own.noticed:
            numbers["mix-ups"] += bool(fired)
            self.findings.violations += [f"{where}: {line}" for line in own.wrong]
        else:
            numbers["mix-ups that look right"] += bool(fired)
            numbers["false after one that looks right"] += bool(own.wrong)
        self.findings.moments[own.moment] += bool(fired)

    # The state of a round.

    def begin(self) -> None:
        self.cloud.reset(DEVICES, **FAST)
        self.cloud.call("DELETE", "journal")
        RemovedRow.objects.all().delete()
        for model in reversed(MIRRORED):
            model._default_manager.all().delete()
        now = timezone.now()
        for model in MIRRORED:
            rows = [copy(row) for row in self.rows if isinstance(row, model)]
            for row in rows:
                vars(row)["read_at"] = now
            model._default_manager.bulk_create(rows)
        # The drift of a target that was just changed is explained.
        Target.objects.update(settled_at=now - timedelta(hours=1))

    def truth(self) -> Truth:
        client = connection.client()
        rows = self.cloud.call("GET", "bindings")["bindings"]
        return Truth(
            {each.device_id: each for each in walk(client.list_devices)},
            {(row["policy_id"], row["target_type"], row["target_id"]) for row in rows},
        )

    def question(
        self, own: Round, count: int, verb: Verb | None = None, **about: Any
    ) -> Question:
        """Choose targets, mostly such as the verb changes."""
        policies = own.dice.sample(self.policies(), 2)
        ids = own.dice.sample(self.direct, len(self.direct))
        if verb and own.dice.random() < 0.8:
            policies.sort(key=lambda id: own.before.reach(verb, id))
            ids.sort(key=lambda id: own.before.has_effect(verb, policies[0], id))
        return Question(ids[:count], policies[0], ids[-6:], policies[1], **about)

    def policies(self) -> list[str]:
        return sorted(row.pk for row in self.rows if isinstance(row, Policy))

    # The mix-ups.

    def mix_up(self, own: Round, call: str, question: Question, times: int) -> None:
        """Answer a call so; times: how often, 0 for always."""
        chosen = own.answers.mix_up(call, question)
        self.put(own, chosen, times)

    def put(self, own: Round, chosen: MixUp, times: int) -> None:
        match = chosen.match | ({"times": times} if times else {})
        # After the change, the same answer would be the right one.
        before = chosen.names is Names.SAME
        moment = "before" if before else own.dice.choice(["before", "after"])
        own.noticed = own.noticed and (
            chosen.names is Names.OTHERS
            or (
                chosen.names is Names.NOTHING
                and times == 1
                and not (chosen.already and moment == "after")
            )
        )
        often = "once" if times == 1 else "several times"
        own.mixed.append(f"{chosen.kind}, {moment} applying, {often}")
        if chosen.path:
            self.cloud.fault(
                chosen.call, "odd", match=match, path=chosen.path, value=chosen.body
            )
        else:
            how = {"status": chosen.status, "body": chosen.body, "moment": moment}
            self.cloud.fault(chosen.call, "status", match=match, **how)

    def fired(self) -> int:
        faults = self.cloud.call("GET", "faults")["faults"]
        return sum(each["fired"] for each in faults if each["fault"] != "drop")

    def submit(self, own: Round, verb: Verb, question: Question) -> Operation:
        request = OperationRequest(
            verb.name,
            [TargetSpec(id) for id in question.ids],
            reason="chaos",
            key=f"{self.seed & 0xFFFFFFFF:08x}{self.number:012x}{len(own.operations):012x}",
            policy_id=question.policy if isinstance(verb, PolicyVerb) else "",
        )
        operation = services.submit(request, product.actor(), connection.client())
        own.operations.append(operation)
        return operation

    # The moments.

    def look(self, own: Round) -> None:
        """Mix up what is read before a change."""
        verb = own.dice.choice(all_verbs())
        question = self.question(own, own.dice.choice([1, 1, 3]), verb)
        device = isinstance(verb, DeviceVerb)
        call = "ShowDevice" if device else own.dice.choice(READS[1:])
        own.moment = f"{verb.name}, before"
        self.mix_up(own, call, question, own.dice.choice([0, 1]))
        self.submit(own, verb, question)
        self.work()

    def send(self, own: Round) -> None:
        """Mix up the answer of a change."""
        verb = own.dice.choice(all_verbs())
        question = self.question(own, own.dice.choice([1, 1, 3]), verb)
        own.moment = f"{verb.name}, sent"
        self.mix_up(own, BY_VERB[verb.name].request, question, 1)
        self.submit(own, verb, question)
        self.work()

    def lose(self, own: Round) -> None:
        """Lose the answer of a change, and mix up what is read back."""
        verb = own.dice.choice(all_verbs())
        question = self.question(own, own.dice.choice([1, 1, 3]), verb)
        own.moment = f"{verb.name}, read back"
        sample = BY_VERB[verb.name]
        self.cloud.fault(
            sample.request, "drop", moment=own.dice.choice(["before", "after"])
        )
        self.submit(own, verb, question)
        run_workers()
        self.cloud.heal()
        call = "ShowDevice" if isinstance(verb, DeviceVerb) else READS[2]
        self.mix_up(own, call, question, own.dice.choice([0, 1]))
        self.work()

    def task(self, own: Round) -> None:
        """Mix up the answers about a batch task."""
        verbs = [verb for verb in all_verbs() if verb.task_type]
        first, second = (own.dice.choice(verbs) for _ in range(2))
        self.finish(self.submit(own, first, self.question(own, 10, first)))
        own.before = self.truth()
        self.cloud.call("DELETE", "journal")
        [earlier] = own.operations
        own.operations.clear()
        task = own.answers.get(
            f"/batchtasks/{earlier.chunks.get(by_task=True).task_id}", limit=50
        )
        call = own.dice.choice(TASK_CALLS)
        question = self.question(own, 10, second, tasks=[task])
        if own.dice.random() < 0.5:
            both = [row["target"] for row in task["task_details"]]
            question.ids[:4] = [id for id in both if id not in question.ids][:4]
        own.moment = f"{second.name} by task"
        lost = call == "ListBatchTasks"
        if lost:
            moment = own.dice.choice(["before", "after"])
            self.cloud.fault("CreateBatchTask", "drop", moment=moment)
        else:
            self.mix_up(own, call, question, own.dice.choice([0, 1, 2]))
        self.submit_second(own, second, question)
        run_workers()
        if lost:
            self.cloud.heal()
            self.mix_up(own, call, question, 1)
        self.work()

    def submit_second(self, own: Round, verb: Verb, question: Question) -> None:
        own.operations.append(Operation())  # another key than the first one's
        self.submit(own, verb, question)
        del own.operations[0]

    def sync(self, own: Round) -> None:
        """Mix up an answer of a sync."""
        question = self.question(own, 1)
        call = own.dice.choice([*LISTINGS, "ShowDevicePolicy", READS[2]])
        own.moment = f"sync, {call}"
        # Only then a sync asks for single devices.
        if call == "ListDevices" and own.dice.random() < 0.3:
            chosen = own.answers.mix_up("ShowDevice", question)
            gone = own.answers.get("/devices", limit=20)
            self.put(
                own, MixUp("ListDevices", "a shorter page", Names.NOTHING, gone), 1
            )
            self.put(own, chosen, 1)
            # Both of the answers that have to agree are mixed up.
            own.noticed = chosen.names is Names.OTHERS
        else:
            self.mix_up(own, call, question, own.dice.choice([0, 1]))
        run_sync(SyncRun.objects.create(), connection.client())

    def page(self, own: Round) -> None:
        """Mix up an answer that a page reads."""
        question = self.question(own, 1)
        call = own.dice.choice(READS[:2])
        paths = [f"/devices/{question.ids[0]}/", f"/policies/{question.policy}/"]
        path = paths[READS.index(call)]
        own.moment = f"page, {call}"
        self.mix_up(own, call, question, 0)
        shown = self.browser.get(path).text
        others = Device.objects.filter(pk__in=question.others)
        if call == "ShowDevice" and any(row.name in shown for row in others):
            own.wrong.append("the page shows another device")

    def swap(self, own: Round) -> None:
        """Exchange the answers of two calls that are made at the same time."""
        call = own.dice.choice(SWAPPED)
        own.moment, own.noticed = f"swapped, {call}", call != "FreezeDevice"
        match = {"times": own.dice.choice([2, 4])}
        self.cloud.fault(call, "swap", match=match, seconds=0.3)
        if call == "ListDevices":
            run_sync(SyncRun.objects.create(), connection.client())
            return
        names = {
            "ShowDevice": ["device.freeze", "device.unfreeze", "device.delete"],
            "BindDevicePolicy": ["policy.bind"],
            "FreezeDevice": ["device.freeze"],
        }
        verb = get_verb(own.dice.choice(names[call]))
        count = 45 if isinstance(verb, PolicyVerb) else BY_TASK_ABOVE
        self.submit(own, verb, self.question(own, count, verb))
        self.work()

    def work(self) -> None:
        """Let a worker go on while answers are mixed up."""
        for _step in range(MIXED_STEPS):
            run_workers()
            poll_tasks_now()
            reconcile_now()

    def finish(self, operation: Operation) -> None:
        self.cloud.heal()
        for _step in range(STEPS):
            operation.refresh_from_db()
            if operation.finished_at:
                return
            make_everything_due()
            run_workers()
            poll_tasks_now()
            reconcile_now()

    # The checks.

    def check_outcomes(self, own: Round, operation: Operation, now: Truth) -> None:
        verb, policy = get_verb(operation.verb), operation.policy_id
        entries = self.cloud.journal()
        applied = {
            id
            for entry in entries
            if entry["operation"] in WRITES and (entry["policy_id"] or "") == policy
            for id in entry["applied"]
        }
        for id, state in operation.targets.values_list("target_id", "state"):
            is_so = now.has_effect(verb, policy, id)
            stood = own.before.has_effect(verb, policy, id)
            problem = {
                state in SUCCEEDED and not is_so: "is not so",
                state == "ok" and not (id in applied or stood): "was never applied",
                state == "already" and id in applied: "was applied",
                state in NOT_DONE and id in applied: "was applied",
                state not in (*SUCCEEDED, *NOT_DONE): "has not ended",
            }.get(True)
            if problem:
                own.wrong.append(f"{id} recorded {state}, {problem}")

    def check_rows(self, own: Round, after: Truth) -> None:
        own.wrong += self.wrong_devices(own, after)
        stored = set(
            Binding.objects.values_list("policy_id", "target_type", "target_id")
        )
        false = stored - own.before.bindings - after.bindings
        own.wrong += [f"binding stored: {each}" for each in sorted(false)]
        lost = (own.before.bindings & after.bindings) - stored
        own.wrong += [f"binding removed: {each}" for each in sorted(lost)]
        for model in (Space, Product, Policy):
            right = {row.pk: facts(row) for row in self.rows if isinstance(row, model)}
            found = {row.pk: facts(row) for row in all_rows(model)}
            if right != found:
                name = model.__name__
                own.wrong += [
                    f"{name} {pk} stored as {found.get(pk)}"
                    for pk in right.keys() | found.keys()
                    if right.get(pk) != found.get(pk)
                ]

    def wrong_devices(self, own: Round, after: Truth) -> Iterator[str]:
        now = timezone.now()
        stored = {row.pk: row for row in Device.objects.all()}
        for id in after.devices.keys() - stored.keys():
            yield f"device removed: {id}"
        for id, row in stored.items():
            seen = [
                each.devices[id] for each in (own.before, after) if id in each.devices
            ]
            known = [facts(device_row(each, now)) for each in seen]
            # After a batch unfreeze, nobody knows the status.
            known += [{**each, "status": ""} for each in known]
            if facts(row) not in known:
                yield f"device {id} stored as {facts(row)}"


def all_rows(model: type[Model]) -> list[Any]:
    return list(model._default_manager.order_by("pk"))


def facts(row: Model) -> dict[str, Any]:
    """Return the columns of a row that IoTDA gives."""
    ours = ("id", "read_at", "search_text", "tidy_name")
    names = [each.attname for each in row._meta.concrete_fields]
    return {name: getattr(row, name) for name in names if name not in ours}
