"""Goals, and the report of a command: a table and one line of JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from statistics import linear_regression
from typing import Any

from tests.bench.identity import NOTHING, Identity


@dataclass(frozen=True)
class Goal:
    name: str
    value: float
    sign: str  # "<=" or ">="
    limit: float

    @property
    def met(self) -> bool:
        return (
            self.value <= self.limit if self.sign == "<=" else self.value >= self.limit
        )

    def shown(self) -> dict[str, Any]:
        return {
            "value": round(self.value, 4),
            "goal": f"{self.sign} {self.limit:g}",
            "met": self.met,
        }


@dataclass
class Report:
    command: str
    facts: dict[str, Any]
    table: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    identity: Identity = NOTHING
    goals: list[Goal] = field(default_factory=list)
    # The seconds of the wall, and of the processor for all processes of the command.
    whole: dict[str, float] = field(default_factory=dict)
    # A known bad solution, measured the same way, has to miss its goals.
    control: str = ""
    controls: list[Goal] = field(default_factory=list)

    @property
    def true(self) -> bool:
        return self.identity == NOTHING

    @property
    def control_fails(self) -> bool:
        return any(not goal.met for goal in self.controls)

    @property
    def met(self) -> bool:
        return self.true and self.control_fails and all(goal.met for goal in self.goals)

    def as_json(self) -> str:
        said = {
            "command": self.command,
            **self.facts,
            **self.figures,
            "whole": self.whole,
            "identity": vars(self.identity),
            "goals": {goal.name: goal.shown() for goal in self.goals},
            "control": {
                "what": self.control,
                "fails": self.control_fails,
                "goals": {goal.name: goal.shown() for goal in self.controls},
            },
            "met": self.met,
        }
        return json.dumps(said, sort_keys=True)

    def as_text(self) -> str:
        facts = ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in self.facts.items()
        )
        lines = [
            f"{self.command}: {facts}",
            "",
            *columns(self.table),
            "",
            *self.notes,
            "",
        ]
        if self.whole:
            wall, processor = self.whole["wall"], self.whole["processor"]
            lines += [f"in all {wall:.1f} s, {processor:.1f} s of processor time", ""]
        lines += [f"  {goal_text(goal)}" for goal in self.goals]
        counts = ", ".join(
            f"{name} {count}" for name, count in vars(self.identity).items()
        )
        lines.append(f"  {mark(self.true)} platform and records agree: {counts}")
        lines.append(
            f"  {mark(self.control_fails)} the control misses its goal: {self.control}"
        )
        lines += [f"       {goal_text(goal)}" for goal in self.controls]
        return "\n".join(lines)


def mark(good: bool) -> str:
    return "ok  " if good else "MISS"


def goal_text(goal: Goal) -> str:
    return f"{mark(goal.met)} {goal.name}: {goal.value:.4g} (goal {goal.sign} {goal.limit:g})"


def columns(table: Sequence[Sequence[str]]) -> list[str]:
    """Align the first column to the left, the figures to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rows = (zip(row, widths, strict=True) for row in table)
    return [
        "  ".join(
            text.rjust(width) if at else text.ljust(width)
            for at, (text, width) in enumerate(row)
        )
        for row in rows
    ]


def slope(seconds: Mapping[int, float]) -> float:
    """Return how the time grows with the size; 1 is linear."""
    return linear_regression(
        [log(n) for n in seconds], [log(s) for s in seconds.values()]
    ).slope
