"""Compare our records with the simulator's journal, which is the truth."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.chaos.product import Records

# The write calls, and whether their targets are frozen or bound afterwards.
CALLS = {
    "FreezeDevice": True,
    "UnfreezeDevice": False,
    "BindDevicePolicy": True,
    "UnbindDevicePolicy": False,
}
# The changes that IoTDA makes while it runs a batch task.
TASK = "CreateBatchTask"
WORKS = {"freezeDevices": True, "unfreezeDevices": False}
WANTED = CALLS | WORKS
EXPECTED = {
    "device.freeze": True,
    "device.unfreeze": False,
    "policy.bind": True,
    "policy.unbind": False,
}
SUCCEEDED = ("ok", "already")
SETTLED = (*SUCCEEDED, "failed", "skipped", "cancelled")
NOT_DONE = ("failed", "skipped", "cancelled", "pending")
# Target states that contradict the state of their chunk.
CONTRADICTIONS = {
    "pending": {"sent", "unknown"},
    "sent": {"pending", "unknown"},
    "done": {"pending", "sent"},
}
# Refused before the request was read.
NOT_EXECUTED = (401, 429)

type Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """The change that one operation requests."""

    verb: str
    ids: tuple[str, ...]
    policy: str = ""

    def key(self, id: str) -> tuple[str, str]:
        return (self.policy, id)


class Platform:
    """The state of IoTDA: the initial state plus the changes in the journal."""

    def __init__(
        self, frozen: Collection[str], bound: Iterable[tuple[str, str]]
    ) -> None:
        self.has = {("", id) for id in frozen} | set(bound)

    def read(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry["operation"] in WANTED:
                keys = {(entry["policy_id"] or "", id) for id in entry["applied"]}
                self.has = (
                    self.has | keys if WANTED[entry["operation"]] else self.has - keys
                )
            if entry["fault"] == "delete_policy":
                self.has = {key for key in self.has if key[0] != entry["policy_id"]}

    def has_effect(self, change: Change, id: str) -> bool:
        return (change.key(id) in self.has) == EXPECTED[change.verb]


def of(change: Change, entries: Iterable[Entry]) -> list[Entry]:
    """Return the journal entries of one change: write requests and task steps."""
    ids, expected = set(change.ids), EXPECTED[change.verb]
    return [
        entry
        for entry in entries
        if WANTED.get(
            entry["operation"], expected if entry["operation"] == TASK else None
        )
        == expected
        and (entry["policy_id"] or "") == change.policy
        and ids & set(entry["target_ids"])
    ]


def applied(entries: Iterable[Entry]) -> set[str]:
    return {
        id
        for entry in entries
        if entry["operation"] in WANTED
        for id in entry["applied"]
    }


def still_under_way(entries: Iterable[Entry]) -> bool:
    """Return whether IoTDA has accepted a call that it has not carried out yet."""
    calls = (entry for entry in entries if entry["operation"] not in WORKS)
    return any(
        entry["status"] is None and entry["fault"] in (None, "latency")
        for entry in calls
    )


def identity(change: Change, look: "Records") -> list[str]:
    """Check that all requested targets are recorded and agree with their chunks."""
    if not look.found:
        return []
    wrong = []
    if look.found > 1:
        wrong.append(f"{look.found} operations of one form")
    if sorted(look.targets) != sorted(change.ids):
        wrong.append(f"{len(change.ids)} requested, {len(look.targets)} recorded")
    for chunk in look.chunks.values():
        states = Counter(look.targets[id] for id in chunk.targets)
        if set(states) & CONTRADICTIONS.get(chunk.state, set()):
            wrong.append(f"a chunk is {chunk.state}, its targets are {dict(states)}")
    return wrong


def at_death(
    change: Change, look: "Records", entries: Iterable[Entry], before: Platform
) -> list[str]:
    """Check that applied targets are recorded as sent, and ok ones were applied."""
    recorded = {id for id, state in look.targets.items() if state not in NOT_DONE}
    done = applied(of(change, entries))
    hidden = [
        f"{id} applied, recorded {look.targets.get(id, 'not at all')}"
        for id in sorted(done - recorded)
    ]
    ok = [id for id, state in look.targets.items() if state == "ok"]
    early = [id for id in ok if id not in done and not before.has_effect(change, id)]
    return hidden + [f"{id} recorded ok, never applied" for id in early]


def in_the_end(
    change: Change,
    look: "Records",
    entries: Sequence[Entry],
    before: Platform,
    now: Platform,
    gone: bool = False,
) -> list[str]:
    """gone: the policy was deleted, and its bindings with it."""
    wrong = [] if look.ended else [f"not ended: {dict(Counter(look.targets.values()))}"]
    mine = of(change, entries)
    done = applied(mine)
    for id, state in look.targets.items():
        said = f"{id} recorded {state} {look.codes[id]}".strip()
        if state in SUCCEEDED and not (now.has_effect(change, id) or gone):
            wrong.append(f"{said}, does not stand")
        if (
            state == "ok"
            and id not in done
            and not before.has_effect(change, id)
            and not gone
        ):
            wrong.append(f"{said}, never applied")
        if (
            state in NOT_DONE
            and id in done
            and not (gone and not now.has_effect(change, id))
        ):
            wrong.append(f"{said}, applied")
        if state == "unknown" and not look.codes[id]:
            wrong.append(f"{said}, without a reason")
    return wrong + sent_too_often(look, mine) + sent_blindly(change, mine)


def sent_blindly(change: Change, mine: list[Entry]) -> list[str]:
    """Check that no applied target was sent again."""
    done: set[str] = set()
    again: set[str] = set()
    for entry in mine:
        if entry["operation"] not in WORKS and entry["status"] not in NOT_EXECUTED:
            again |= done & set(entry["target_ids"])
        # An accepted task is carried out sooner or later.
        taken_on = entry["operation"] == TASK and entry["applied"]
        done |= set(entry["target_ids"] if taken_on else entry["applied"])
    return [
        f"{id} sent again after it was applied"
        for id in sorted(again & set(change.ids))
    ]


def sent_too_often(look: "Records", mine: list[Entry]) -> list[str]:
    """Each target is sent as often as its chunks record, no more. A chunk that was split counts for those
    that it was split into."""
    calls: Counter[str] = Counter()
    for entry in mine:
        if entry["operation"] not in WORKS and entry["status"] not in NOT_EXECUTED:
            calls.update(entry["target_ids"])
    allowed: defaultdict[str, int] = defaultdict(int)
    split = sum(chunk.attempts for chunk in look.chunks.values() if not chunk.targets)
    for chunk in look.chunks.values():
        for id in chunk.targets:
            allowed[id] = chunk.attempts + split
    return [
        f"{id} sent {n} times, {allowed[id]} recorded"
        for id, n in sorted(calls.items())
        if n > allowed[id]
    ]
