"""Real answers of the simulator that are about something else than was asked.

An answer that names what it is about must never count. One that does not (a refusal,
the targets of a policy, a page of another query) looks right: it must not count before
a second answer agrees. What looks like the success of a change is a known limit.
"""

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from iotda_admin.iotda import Rejected
from iotda_admin.iotda.responses import Endpoint
from iotda_admin.rate import connection
from tests.cloud import Cloud

type Json = dict[str, Any]

READS = ("ShowDevice", "ShowDevicePolicy", "ShowTargetsInDevicePolicy")
LISTINGS = {
    "ListDevices": ("/devices", "devices"),
    "ListProducts": ("/products", "products"),
    "ListDevicePolicies": ("/device-policies", "policies"),
    "ShowApplications": ("/apps", "applications"),
}
REFUSALS = {
    "FreezeDevice": ("IOTDA.014038", "IOTDA.014039"),
    "UnfreezeDevice": ("IOTDA.014040",),
    "DeleteDevice": ("IOTDA.014024",),
    "BindDevicePolicy": ("IOTDA.015204", "IOTDA.000006"),
    "UnbindDevicePolicy": ("IOTDA.000006",),
}
ALREADY = ("IOTDA.014039", "IOTDA.014040")
PAIRS = {"BindDevicePolicy": "bind", "UnbindDevicePolicy": "unbind"}


class Names(StrEnum):
    """How an answer shows that it is about something else."""

    OTHERS = "answers that name something else"
    NOTHING = "answers that name nothing"
    SAME = "answers like the success of the change"


@dataclass(frozen=True)
class MixUp:
    """One answer about something else.

    call   the call that is answered so
    what   what the answer is about
    names  how the answer shows it
    path   where in the right answer the body is put; (): it replaces the answer
    match  which requests are answered so
    """

    call: str
    what: str
    names: Names
    body: Any = None
    status: int = 200
    path: tuple[int | str, ...] = ()
    match: Json = field(default_factory=dict)

    @property
    def already(self) -> bool:
        """Whether it is the refusal of a change that is made already."""
        gone = self.call == "DeleteDevice" and self.status == 404
        return gone or any(code in self.what for code in ALREADY)

    @property
    def kind(self) -> str:
        return f"{self.call}: {self.what}"


@dataclass(frozen=True)
class Question:
    """What an answer should be about, and what it is about instead."""

    ids: list[str]
    policy: str
    others: list[str]
    other_policy: str
    tasks: list[Json] = field(default_factory=list)


class Answers:
    def __init__(self, cloud: Cloud, dice: random.Random) -> None:
        self.cloud, self.dice = cloud, dice

    def get(self, path: str, **query: Any) -> Json:
        return self.ask("GET", path, query=query)

    def ask(self, method: str, path: str, **how: Any) -> Json:
        """Return the document of an answer as it comes."""
        client, endpoint = connection.client(), Endpoint("raw")
        document: Json = client._call(endpoint, method, path, dict, **how)[0]
        return document

    def targets(self, policy: str, **more: Any) -> Json:
        body = {"limit": 50, **more}
        path = f"/device-policies/{policy}/list-targets"
        return self.ask("POST", path, body=body)

    def mix_up(self, call: str, question: Question) -> MixUp:
        """Choose an answer about something else."""
        found = [*self.about_others(call, question), self.other_call(call, question)]
        return self.dice.choice(found)

    def other_call(self, call: str, question: Question) -> MixUp:
        """Return the late answer of an earlier call, as after a mixed-up connection."""
        device = f"/devices/{question.others[0]}"
        policy = f"/device-policies/{question.policy}"
        answers: dict[str, Any] = {
            "ShowDevice": lambda: self.get(device),
            "ShowDevicePolicy": lambda: self.get(policy),
            "ShowTargetsInDevicePolicy": lambda: self.targets(question.policy),
            "BindDevicePolicy": lambda: bound(question.policy, question.ids),
            "ListDevices": lambda: self.get("/devices", limit=50),
            "ListProducts": lambda: self.get("/products", limit=50),
            "ListBatchTasks": lambda: self.get(
                "/batchtasks", task_type="freezeDevices"
            ),
        }
        same = {call, "BindDevicePolicy"} if call in PAIRS else {call}
        other = self.dice.choice(sorted(answers.keys() - same))
        return MixUp(call, f"the answer of {other}", Names.OTHERS, answers[other]())

    def about_others(self, call: str, question: Question) -> Iterator[MixUp]:
        if call in READS:
            yield from self.reads(call, question)
        elif call in PAIRS:
            yield from self.binds(call, question)
            yield from self.refusals(call)
        elif call in LISTINGS:
            yield from self.pages(call)
        elif call in REFUSALS:
            yield MixUp(call, "another's success", Names.SAME, status=204)
            yield from self.refusals(call)
        else:
            yield from self.tasks(call, question)

    def reads(self, call: str, question: Question) -> Iterator[MixUp]:
        device, policy = self.dice.choice(question.others), question.other_policy
        if call == "ShowDevice":
            other = self.get(f"/devices/{device}")
            yield MixUp(call, "another device", Names.OTHERS, other)
            with suppress(Rejected):  # it may be deleted
                own = self.get(f"/devices/{question.ids[0]}")
                swapped = own | {"device_id": device}
                about: Json = {"ids": question.ids[:1]}
                yield MixUp(call, "swapped IDs", Names.OTHERS, swapped, match=about)
            yield refusal(call, "no such device", 404, "IOTDA.014000")
        elif call == "ShowDevicePolicy":
            other = self.get(f"/device-policies/{policy}")
            yield MixUp(call, "another policy", Names.OTHERS, other)
            own = self.get(f"/device-policies/{question.policy}")
            swapped = own | {"policy_id": policy}
            about = {"policy_id": question.policy}
            yield MixUp(call, "swapped IDs", Names.OTHERS, swapped, match=about)
            yield refusal(call, "no such policy", 404, "IOTDA.015201")
        else:
            yield MixUp(call, "another policy", Names.NOTHING, self.targets(policy))
            none: Json = {"targets": [], "page": {"count": 0}}
            yield MixUp(call, "another policy, without targets", Names.NOTHING, none)
            yield refusal(call, "no such policy", 404, "IOTDA.015201")

    def binds(self, call: str, question: Question) -> Iterator[MixUp]:
        ids, some = question.ids, question.others[:3]
        whole = bound(question.policy, ids)
        yield MixUp(
            call, "another policy", Names.OTHERS, bound(question.other_policy, ids)
        )
        yield MixUp(call, "other targets", Names.OTHERS, bound(question.policy, some))
        both = bound(question.policy, [*ids, *some])
        yield MixUp(call, "other targets, too", Names.OTHERS, both)
        swapped = bound(question.policy, [*ids[1:], some[0]])
        yield MixUp(call, "swapped IDs", Names.OTHERS, swapped)
        failed = [failure(id, "IOTDA.015204") for id in [*some, *ids]]
        refused = whole | {"success_targets": [], "failure_targets": failed}
        yield MixUp(call, "refusals of other targets, too", Names.OTHERS, refused)
        yield MixUp(
            call, "another type", Names.OTHERS, whole | {"target_type": "product"}
        )
        yield MixUp(call, "the opposite call", Names.SAME, whole)

    def refusals(self, call: str) -> Iterator[MixUp]:
        for code in REFUSALS[call]:
            yield refusal(call, "another's refusal", 403, code)
        missing = "IOTDA.015201" if call in PAIRS else "IOTDA.014000"
        yield refusal(call, "another's 404", 404, missing)

    def pages(self, call: str) -> Iterator[MixUp]:
        """Yield pages of another query: their rows are true, others are missing."""
        path, key = LISTINGS[call]
        if call == "ShowApplications":
            page = self.get(path, default_app="true")
            yield MixUp(call, "the default space", Names.NOTHING, page)
            return
        spaces = [each["app_id"] for each in self.get("/apps")["applications"]]
        space = self.dice.choice(spaces)
        page = self.get(path, limit=50, app_id=space)
        yield MixUp(call, "a space", Names.NOTHING, page)
        first = self.get(path, limit=self.dice.randint(1, 20))
        yield MixUp(call, "a shorter page", Names.NOTHING, first)
        marker = first["page"]["marker"]
        later = self.get(path, limit=50, marker=marker)
        yield MixUp(call, "a later page", Names.NOTHING, later)
        yield MixUp(call, "no rows", Names.NOTHING, {key: [], "page": {"count": 0}})

    def tasks(self, call: str, question: Question) -> Iterator[MixUp]:
        task = self.dice.choice(question.tasks)
        if call == "CreateBatchTask":
            row = {**task["batchtask"], "status": "Waitting"}
            yield MixUp(call, "another task", Names.OTHERS, row, 201)
            yield MixUp(
                call, "swapped IDs", Names.OTHERS, row["task_id"], path=("task_id",)
            )
        elif call == "ShowBatchTask":
            yield MixUp(call, "another task", Names.OTHERS, task)
            id, rows = task["batchtask"]["task_id"], task["task_details"]
            way = ("batchtask", "task_id")
            yield MixUp(call, "swapped IDs", Names.OTHERS, id, path=way)
            what = "rows of another task"
            yield MixUp(call, what, Names.OTHERS, rows, path=("task_details",))
        else:
            other = self.get("/batchtasks", task_type=task["batchtask"]["task_type"])
            opposite = {
                **other,
                "batchtasks": [
                    each | {"task_type": "deleteDevices"}
                    for each in other["batchtasks"]
                ],
            }
            yield MixUp(call, "another type", Names.OTHERS, opposite)
            none: Json = {"batchtasks": [], "page": {"count": 0}}
            yield MixUp(call, "no tasks", Names.NOTHING, none)


def bound(policy: str, ids: list[str]) -> Json:
    return {
        "policy_id": policy,
        "target_type": "device",
        "success_targets": list(ids),
        "failure_targets": [],
    }


def failure(id: str, code: str) -> Json:
    return {"target_id": id, "error_code": code, "error_msg": "Of another."}


def refusal(call: str, what: str, status: int, code: str) -> MixUp:
    body = {"error_code": code, "error_msg": "About another one."}
    return MixUp(call, f"{what} ({code})", Names.NOTHING, body, status)
