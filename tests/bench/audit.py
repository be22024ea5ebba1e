"""bin/bench audit: time of the pages of a long and a short trail, and the cost of
verifying it."""

from collections.abc import Sequence
from typing import Any

from tests.bench.goals import Goal, Report, slope
from tests.bench.probed import Answers, measure_in_turns, probed
from tests.bench.questions import ALL

# Each runs in its own process, to measure its memory alone.
ALONE = {
    "CSV": ("export", "csv"),
    "JSON lines": ("export", "jsonl"),
    "verify": ("verify",),
}
MEGABYTE = 1_000_000

# These read a limited number of rows; their time grows up to that number.
BOUNDED = {
    "apart": "two filters that never meet",
    "error codes": "the codes of the newest 10,000 failures",
}

type Figures = dict[int, dict[str, Any]]


def run(*, kind: str, sizes: Sequence[int], rounds: int) -> Report:
    with probed("tests.bench.trail_probe", kind, sizes) as made:
        pages = measure_in_turns(made, ALL, rounds * 3)
        alone = {
            size: {name: made[size].probe(*words) for name, words in ALONE.items()}
            for size in sizes
        }
    return make_report(kind, rounds, pages, alone)


def make_report(kind: str, rounds: int, pages: Answers, alone: Figures) -> Report:
    sizes = list(pages)
    few, many = sizes[0], sizes[-1]
    steep = {
        name: slope({n: pages[n][name]["seconds"] for n in sizes})
        for name in pages[few]
    }
    flat = {
        name: value
        for name, value in steep.items()
        if name not in (*BOUNDED, "control")
    }
    worst = max(flat, key=lambda name: flat[name])
    report = Report("audit", {"database": kind, "sizes": sizes, "rounds": rounds})
    report.goals = [
        Goal(
            f"slope of log time over log events, the steepest page ({worst})",
            flat[worst],
            "<=",
            0.15,
        ),
        *(
            Goal(f"seconds for {says}", pages[many][name]["seconds"], "<=", 0.5)
            for name, says in BOUNDED.items()
        ),
        Goal("rows verified in a second", rate(alone[many]["verify"]), ">=", 100_000),
        Goal(
            "events that verifying objects to",
            len(alone[many]["verify"]["bad"]),
            "<=",
            0,
        ),
        *(
            Goal(
                f"MB more memory for {many} than for {few}, {name}",
                grown(alone, name),
                "<=",
                10,
            )
            for name in ALONE
        ),
    ]
    report.control = "a word anywhere in three columns, and how many there are"
    report.controls = [Goal("slope of its log time", steep["control"], "<=", 0.15)]
    report.figures = {
        "milliseconds": {
            str(n): {name: ms(one["seconds"]) for name, one in pages[n].items()}
            for n in sizes
        },
        "rows": {name: one["rows"] for name, one in pages[many].items()},
        "slopes": {name: round(value, 3) for name, value in steep.items()},
        "alone": {str(n): alone[n] for n in sizes},
    }
    report.table = [["page, ms", *map(str, sizes), "slope"]]
    report.table += [
        [
            name,
            *(f"{ms(pages[n][name]['seconds']):.1f}" for n in sizes),
            f"{steep[name]:.3f}",
        ]
        for name in steep
    ]
    report.notes = [
        f"{name}: {rate(alone[many][name]):,.0f} rows/s, {alone[many][name]['peak'] / MEGABYTE:.0f} MB"
        for name in ALONE
    ]
    return report


def rate(one: dict[str, Any]) -> float:
    return float(one["rows"] / one["seconds"])


def grown(alone: Figures, name: str) -> float:
    sizes = list(alone)
    return (
        float(alone[sizes[-1]][name]["peak"] - alone[sizes[0]][name]["peak"]) / MEGABYTE
    )


def ms(seconds: float) -> float:
    return round(1000 * seconds, 2)
