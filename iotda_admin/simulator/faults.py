"""Which calls are to go wrong, and how. The same seed gives the same schedule."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .calls import Answer, Call
from .journal import Entry

if TYPE_CHECKING:
    from .protocol import Wire
    from .world import World


class Match(BaseModel):
    """Everything given has to hold."""

    model_config = ConfigDict(extra="forbid")

    operation: str | list[str] | None = None
    nth: int | list[int] | None = (
        None  # counted over the calls that match otherwise, from 1
    )
    ids: list[str] | None = None  # any of these among the call's targets
    policy_id: str | None = None
    p: float | None = Field(None, ge=0, le=1)
    seed: int = 1
    times: int | None = None  # at most so often

    def fits(self, entry: Entry) -> bool:
        names = [self.operation] if isinstance(self.operation, str) else self.operation
        return (
            (names is None or entry.operation in names)
            and (self.policy_id is None or entry.policy_id == self.policy_id)
            and (self.ids is None or not set(self.ids).isdisjoint(entry.target_ids))
        )


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    match: Match = Match()
    fault: str
    args: dict[str, Any] = {}


@dataclass
class Shot:
    """One fault hitting one call."""

    fault: "Fault"
    call: Call
    world: "World"
    wire: "Wire"
    answer: Answer = field(default_factory=lambda: Answer(200, {}))

    @property
    def args(self) -> dict[str, Any]:
        return self.fault.args

    @property
    def moment(self) -> Literal["before", "after"]:
        """Before: nothing was applied. After: it was, and then the answer is spoiled."""
        return "after" if self.args.get("moment") == "after" else "before"


type Act = Callable[[Shot], Awaitable[Answer | None]]


@dataclass(frozen=True)
class Kind:
    """`spoil` makes another answer of `shot.answer`, or None once it has used the wire itself."""

    spoil: Act
    applies: bool = False  # the call is carried out at either moment
    early: Callable[[Shot], Awaitable[None]] | None = None


class Fault:
    def __init__(self, number: int, order: Order, kind: Kind) -> None:
        self.id, self.kind, self.name, self.args, self.match = (
            number,
            kind,
            order.fault,
            order.args,
            order.match,
        )
        self.seen = self.fired = 0
        self._dice = random.Random(order.match.seed)  # noqa: S311 - a schedule, not a secret

    def hits(self, entry: Entry) -> bool:
        match = self.match
        if not match.fits(entry):
            return False
        self.seen += 1
        # Thrown for each fitting call, so the schedule does not depend on what else is asked.
        throw = self._dice.random()
        nth = [match.nth] if isinstance(match.nth, int) else match.nth
        return (
            (nth is None or self.seen in nth)
            and (match.p is None or throw < match.p)
            and (match.times is None or self.fired < match.times)
        )

    def shown(self) -> dict[str, Any]:
        match = self.match.model_dump(exclude_defaults=True)
        counts = {"seen": self.seen, "fired": self.fired}
        return {
            "id": self.id,
            "match": match,
            "fault": self.name,
            "args": self.args,
            **counts,
        }


class Faults:
    def __init__(self) -> None:
        self._numbers = count(1)
        self.set: dict[int, Fault] = {}

    def add(self, order: Order, kind: Kind) -> Fault:
        fault = Fault(next(self._numbers), order, kind)
        self.set[fault.id] = fault
        return fault

    def find(self, entry: Entry) -> Fault | None:
        """The first that hits; every one counts the call."""
        hit = None
        for fault in self.set.values():
            if fault.hits(entry) and hit is None:
                hit = fault
                fault.fired += 1
        return hit
