"""One sample for each verb: what the generic tests of all verbs need to know about it.

They drive the matrix of addresses and roles, the checklist of every view that changes
something, lost answers, buttons, commands, fuzzing and the tour of the pages. A verb
without a sample fails `test_every_verb_has_a_sample`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from devices.models import Device
from devices.verbs import DeviceVerb
from iotda_admin.operations.verbs import Verb, get_verb

type Known = dict[str, Any]


@dataclass(frozen=True)
class View:
    """A page that requests the change: its address and form, for known objects.

    In both, {target} is the ID of the target and {name} its name.
    """

    url: str
    form: dict[str, str] = field(default_factory=dict)
    # Whether GET shows the form; else it leads to a list.
    has_form: bool = True


@dataclass(frozen=True)
class Sample:
    """target: the name of a known object that the verb changes; other: of another one.

    request   the operation of IoTDA's API that changes it
    policy    the name of the known policy, for verbs that need one
    views     its pages beside those that every verb on devices has
    options   what its command needs beside IDs, reason and ticket
    text      what a page says before it is sent
    """

    verb: str
    target: str
    other: str
    request: str
    text: str
    policy: str = ""
    views: tuple[View, ...] = ()
    options: Callable[[Known], list[str]] = lambda known: []
    form: dict[str, str] = field(default_factory=dict)

    @property
    def about(self) -> Verb:
        return get_verb(self.verb)

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(self.about.permissions[0].roles)

    @property
    def all_views(self) -> tuple[View, ...]:
        if not isinstance(self.about, DeviceVerb):
            return self.views
        command = self.about.command
        one = View(f"/devices/{{target}}/{command}/", self.form)
        many = View(
            f"/devices/selection.{command}/",
            {"target": "{target}", **self.form},
            has_form=False,
        )
        return one, many


BIND_FORM = {
    "act": "bind",
    "policy": "{other_policy}",
    "target_type": "device",
    "other_space": "on",
    "target": "{target}",
}
SAMPLES = [
    Sample(
        "device.freeze",
        target="online",
        other="offline",
        request="FreezeDevice",
        text="It cannot connect to IoTDA",
    ),
    Sample(
        "device.unfreeze",
        target="frozen",
        other="offline",
        request="UnfreezeDevice",
        text="It may connect to IoTDA again",
    ),
    Sample(
        "device.delete",
        target="offline",
        other="online",
        request="DeleteDevice",
        text="It is removed from IoTDA for good",
        form={"typed": "{name}"},
        options=lambda known: ["--confirm", known["names"][known["offline"]]],
    ),
    Sample(
        "policy.bind",
        target="online",
        other="free",
        request="BindDevicePolicy",
        text="Bind it to",
        policy="other_policy",
        views=(
            View("/policies/{other_policy}/bind/", BIND_FORM),
            View("/policies/selection.bind/", BIND_FORM),
        ),
        options=lambda known: ["--policy", known["other_policy"], "--other-space"],
    ),
    Sample(
        "policy.unbind",
        target="bound",
        other="online",
        request="UnbindDevicePolicy",
        text="Unbind from",
        policy="policy",
        views=(
            View(
                "/policies/{policy}/unbind/",
                {"target_type": "device", "target": "{target}"},
            ),
        ),
        options=lambda known: ["--policy", known["policy"]],
    ),
]
BY_VERB = {sample.verb: sample for sample in SAMPLES}


def known_objects(inventory: Any) -> Known:
    """Return the IDs of the simulator's named objects, and a device with the policy."""
    known: Known = dict(inventory.known_ids)
    known["bound"] = sorted(inventory.bound(known["policy"]))[0]
    known["names"] = dict(Device.objects.values_list("pk", "name"))
    return known
