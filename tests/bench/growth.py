"""bin/bench bind-growth: how time and memory grow with the number of targets."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from tests.bench.bind import measured, peer, targets
from tests.bench.controls import naive
from tests.bench.goals import Goal, Report, slope
from tests.bench.identity import NOTHING
from tests.bench.stage import Stage
from tests.bench.turns import Turn, phases


def run(
    stage: Stage, *, sizes: Sequence[int], conc: int, latency_ms: float, rounds: int
) -> Report:
    simulated: dict[str, Any] = {"latency_ms": latency_ms}
    ours: dict[int, list[Turn]] = {n: [] for n in sizes}
    raw: dict[int, list[Turn]] = {n: [] for n in sizes}
    for _round in range(rounds):
        for n in sizes:
            raw[n].append(peer(stage, "raw", targets(stage, n), conc, **simulated))
            ours[n].append(measured(stage, targets(stage, n), conc, **simulated))
    facts = {
        "database": stage.kind,
        "conc": conc,
        "latency_ms": latency_ms,
        "rounds": rounds,
    }
    report = Report("bind-growth", {**facts, "sizes": list(sizes)})
    report.identity = sum(
        (turn.identity for turns in ours.values() for turn in turns), NOTHING
    )
    seconds, floor = middle(ours), middle(raw)
    last = sizes[-1]
    report.goals = [
        not_steeper(seconds),
        not_flatter(seconds),
        Goal(
            f"time against raw sockets, {last} targets",
            seconds[last] / floor[last],
            "<=",
            1.25,
        ),
        Goal("bytes of the worker's memory a target", bytes_a_target(ours), "<=", 600),
    ]
    report.control = "loads all targets after each call to see how many are left"
    few = [last // 200, last // 20]
    control = {
        n: naive(stage, "count_all", targets(stage, n), conc, **simulated) for n in few
    }
    report.controls = [not_steeper(control)]
    report.figures = {"targets": {str(n): figures(ours[n], floor[n]) for n in sizes}}
    report.table = [
        ["targets", "seconds", "us a target", "x raw", "worker MB", "web MB"]
    ]
    report.table += [row(n, ours[n], floor[n]) for n in sizes]
    report.notes = [f"{n} targets: {phases(turns)}" for n, turns in ours.items()]
    return report


def middle(turns: dict[int, list[Turn]]) -> dict[int, float]:
    return {n: median(turn.seconds for turn in some) for n, some in turns.items()}


def not_steeper(seconds: dict[int, float]) -> Goal:
    return Goal("slope of log time over log targets", slope(seconds), "<=", 1.02)


def not_flatter(seconds: dict[int, float]) -> Goal:
    """Return the goal that no fixed cost hides the cost of a target."""
    return Goal("that slope, from below", slope(seconds), ">=", 0.85)


def bytes_a_target(ours: dict[int, list[Turn]]) -> float:
    few, many = min(ours), max(ours)
    return (peak(ours[many]) - peak(ours[few])) / (many - few)


def peak(turns: list[Turn]) -> float:
    return median(turn.worker_peak for turn in turns)


def figures(turns: list[Turn], floor: float) -> dict[str, Any]:
    return {
        "raw_seconds": round(floor, 4),
        "seconds": [round(turn.seconds, 4) for turn in turns],
        "web_peak_mb": round(max(turn.web_peak for turn in turns) / 1e6, 1),
        "worker_peak_mb": round(peak(turns) / 1e6, 1),
    }


def row(n: int, turns: list[Turn], floor: float) -> list[str]:
    seconds = median(turn.seconds for turn in turns)
    web = max(turn.web_peak for turn in turns)
    figures = [f"{seconds:.3f}", f"{1e6 * seconds / n:.0f}", f"{seconds / floor:.2f}"]
    return [str(n), *figures, f"{peak(turns) / 1e6:.1f}", f"{web / 1e6:.1f}"]
