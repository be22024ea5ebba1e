"""The report of a run: a table, one line of JSON and an exit status."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

SHOWN = 20


@dataclass
class Findings:
    """The findings of one part of a run; parts are added up."""

    numbers: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    most: dict[str, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        self.numbers.update(other.numbers)
        self.moments.update(other.moments)
        self.violations += other.violations
        for name, value in other.most.items():
            self.at_most(name, value)

    def at_most(self, name: str, value: float) -> None:
        self.most[name] = max(self.most.get(name, value), value)


def report(
    title: str,
    facts: dict[str, Any],
    found: Findings,
    control: Findings,
    problems: list[str],
) -> int:
    """Print the report and return the exit status.

    problems: other reasons why the run did not pass, such as too few points.
    """
    print(f"\n{title}")
    rows: dict[str, Any] = {
        **found.numbers,
        **{f"  {name}": n for name, n in sorted(found.moments.items())},
    }
    rows |= {name: round(value, 3) for name, value in found.most.items()}
    for name, value in rows.items():
        print(f"  {name:<46} {value:>10,}")
    print(f"  {'violations':<46} {len(found.violations):>10,}")
    print(f"  control: {control_line(control)}")
    if not control.violations:
        problems = [
            *problems,
            "the control found no violation, so this run proves nothing",
        ]
    for line in [*found.violations[:SHOWN], *problems]:
        print(f"  !! {line}")
    passed = not found.violations and not problems
    record: dict[str, Any] = {
        **facts,
        **found.numbers,
        **{name: round(value, 3) for name, value in found.most.items()},
    }
    record |= {
        "violations": len(found.violations),
        "control_violations": len(control.violations),
    }
    print(json.dumps(record | {"passed": passed}))
    return 0 if passed else 1


def control_line(control: Findings) -> str:
    if not control.violations:
        return "passed, but it has to fail"
    return f"fails as expected: {len(control.violations)} violations, the first: {control.violations[0]}"
