"""Which requests a fault acts on. The same seed gives the same schedule."""

import asyncio
import random
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Annotated, Any

from ..schema import NoExtraKeys, between
from ..server import Response
from ..state.journal import Entry


@dataclass
class Match(NoExtraKeys):
    """Conditions, all of which must hold."""

    operation: str | list[str] | None = None
    nth: int | list[int] | None = (
        None  # among the requests that meet the other conditions, from 1
    )
    ids: list[str] | None = None  # any of these is a target of the request
    policy_id: str | None = None
    p: Annotated[float, between(0, 1)] | None = None  # probability
    seed: int = 1
    times: int | None = None  # at most so often

    def accepts(self, entry: Entry) -> bool:
        names = [self.operation] if isinstance(self.operation, str) else self.operation
        return (
            (names is None or entry.operation in names)
            and (self.policy_id is None or entry.policy_id == self.policy_id)
            and (self.ids is None or not set(self.ids).isdisjoint(entry.target_ids))
        )


@dataclass
class NewFault(NoExtraKeys):
    fault: str
    match: Match = field(default_factory=Match)
    args: dict[str, Any] = field(default_factory=dict)


class Fault:
    def __init__(self, number: int, new: NewFault) -> None:
        self.id, self.kind, self.args, self.match = (
            number,
            new.fault,
            new.args,
            new.match,
        )
        self.seen = self.fired = 0
        # The answer that `swap` exchanges, and where to put the other one.
        self.waiting: tuple[Response, asyncio.Future[Response]] | None = None
        self._random = random.Random(new.match.seed)  # noqa: S311

    def selects(self, entry: Entry) -> bool:
        """Whether the fault acts on this request. Counts the request if it matches."""
        match = self.match
        if not match.accepts(entry):
            return False
        self.seen += 1
        # Drawn for each match, so that other requests do not change the schedule.
        drawn = self._random.random()
        nth = [match.nth] if isinstance(match.nth, int) else match.nth
        return (
            (nth is None or self.seen in nth)
            and (match.p is None or drawn < match.p)
            and (match.times is None or self.fired < match.times)
        )

    def as_dict(self) -> dict[str, Any]:
        match = {
            name: value
            for name, value in asdict(self.match).items()
            if value is not None
        }
        counts = {"seen": self.seen, "fired": self.fired}
        return {
            "id": self.id,
            "match": match,
            "fault": self.kind,
            "args": self.args,
            **counts,
        }


class Faults:
    def __init__(self) -> None:
        self._numbers = count(1)
        self.active: dict[int, Fault] = {}

    def add(self, new: NewFault) -> Fault:
        fault = Fault(next(self._numbers), new)
        self.active[fault.id] = fault
        return fault

    def find(self, entry: Entry) -> Fault | None:
        """Return the first fault that acts on a request. All faults count it."""
        found = [fault for fault in self.active.values() if fault.selects(entry)]
        for fault in found[:1]:
            fault.fired += 1
        return found[0] if found else None
