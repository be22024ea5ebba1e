"""One round of one peer, and the summary of all rounds."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.goals import Report
from tests.bench.identity import NOTHING, Identity
from tests.bench.product import MeasuredOperation
from tests.cloud import Cloud

PRODUCT = "product"


@dataclass(frozen=True)
class Turn:
    name: str
    targets: int
    seconds: float
    identity: Identity
    calls: int  # of any kind
    throttled: int  # of those, refused by the rate limit
    asked: MeasuredOperation | None = None
    worker_peak: int = 0
    web_peak: int = 0

    @property
    def a_target(self) -> float:
        return self.seconds / self.targets


def by_name(turns: Iterable[Turn]) -> dict[str, list[Turn]]:
    found: defaultdict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        found[turn.name].append(turn)
    return dict(found)


def medians(turns: Iterable[Turn]) -> dict[str, float]:
    """Return the seconds per target."""
    return {
        name: median(turn.a_target for turn in some)
        for name, some in by_name(turns).items()
    }


def add_turns(report: Report, turns: list[Turn]) -> Report:
    """Add the figures of all rounds and the comparison with the platform."""
    sides, a_target = by_name(turns), medians(turns)
    report.identity = sum((turn.identity for turn in sides[PRODUCT]), NOTHING)
    report.figures = {"sides": {name: figures(some) for name, some in sides.items()}}
    report.table = [["", "us a target", "x raw", "lost", "calls", "429", "seconds"]]
    for name, some in sides.items():
        times_raw = (
            f"{a_target[name] / a_target['raw']:.2f}" if "raw" in a_target else ""
        )
        report.table.append(
            [
                name,
                f"{1e6 * a_target[name]:.0f}",
                times_raw,
                *(
                    str(sum(counts))
                    for counts in zip(
                        *((t.identity.lost, t.calls, t.throttled) for t in some),
                        strict=True,
                    )
                ),
                " ".join(f"{turn.seconds:.3f}" for turn in some),
            ]
        )
    report.notes = [phases(sides[PRODUCT])]
    return report


def figures(turns: list[Turn]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "seconds": [round(turn.seconds, 4) for turn in turns],
        "us_a_target": round(1e6 * median(turn.a_target for turn in turns), 1),
        "lost": sum(turn.identity.lost for turn in turns),
        "calls": sum(turn.calls for turn in turns),
        "throttled": sum(turn.throttled for turn in turns),
    }
    if turns[0].asked:
        found["post_seconds"] = [
            round(turn.asked.post, 4) for turn in turns if turn.asked
        ]
        found["calls_seconds"] = [
            round(turn.asked.calls, 4) for turn in turns if turn.asked
        ]
        found["worker_cpu_seconds"] = [
            round(turn.asked.worker_cpu, 2) for turn in turns if turn.asked
        ]
        found["web_cpu_seconds"] = [
            round(turn.asked.web_cpu, 2) for turn in turns if turn.asked
        ]
        found["worker_peak_mb"] = round(
            max(turn.worker_peak for turn in turns) / 1e6, 1
        )
        found["web_peak_mb"] = round(max(turn.web_peak for turn in turns) / 1e6, 1)
    return found


def phases(turns: list[Turn]) -> str:
    """Return the parts of the product's time."""
    asked = [turn.asked for turn in turns if turn.asked]
    post, calls = median(one.post for one in asked), median(one.calls for one in asked)
    total = median(one.seconds for one in asked)
    worker, web = (
        median(one.worker_cpu for one in asked),
        median(one.web_cpu for one in asked),
    )
    worker_peak, web_peak = (
        max(t.worker_peak for t in turns),
        max(t.web_peak for t in turns),
    )
    return (
        f"the product: form answered after {post:.3f} s, first call after {total - calls:.3f} s, "
        f"from the first call to the last recorded outcome {calls:.3f} s;\n"
        f"processor time {worker:.2f} s worker, {web:.2f} s web; "
        f"peak memory {worker_peak / 1e6:.0f} MB worker, {web_peak / 1e6:.0f} MB web"
    )


def called(cloud: Cloud) -> tuple[int, int]:
    """Return the calls at the platform, and those that its rate limit refused."""
    statuses = [
        entry["status"] for entry in cloud.journal() if entry["path"].startswith("/v5/")
    ]
    return len(statuses), statuses.count(429)
