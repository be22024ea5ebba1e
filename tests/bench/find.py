"""bin/bench find: time of searches, filters and orders of few and of many devices."""

from collections.abc import Sequence

from tests.bench.find_questions import APART, ASKED, CONTROL, QUESTIONS, SUBSTRINGS
from tests.bench.goals import Goal, Report, slope
from tests.bench.probed import Answers, measure_in_turns, probed

SLOPE, SUBSTRING_SECONDS = 0.10, 0.015
APART_SECONDS = 0.5
ASKED_TIMES = 3  # in a round


def run(*, kind: str, sizes: Sequence[int], rounds: int) -> Report:
    with probed("tests.bench.find_probe", kind, sizes) as made:
        found = measure_in_turns(made, ASKED, rounds * ASKED_TIMES)
    return make_report(kind, rounds, found)


def make_report(kind: str, rounds: int, found: Answers) -> Report:
    sizes = list(found)
    many = sizes[-1]
    steep = {
        name: slope({n: found[n][name]["seconds"] for n in sizes}) for name in ASKED
    }
    worst = max(QUESTIONS, key=lambda name: steep[name])
    report = Report("find", {"database": kind, "sizes": sizes, "rounds": rounds})
    report.goals = [
        Goal(
            f"slope of log time over log devices, the steepest ({worst})",
            steep[worst],
            "<=",
            SLOPE,
        ),
        *(
            Goal(
                f"seconds, {name}, {many:,} devices",
                found[many][name]["seconds"],
                "<=",
                SUBSTRING_SECONDS,
            )
            for name in SUBSTRINGS
        ),
    ]
    report.goals += [
        Goal(f"seconds, {name}", found[many][name]["seconds"], "<=", APART_SECONDS)
        for name in APART
    ]
    report.control = "a search that reads every row"
    report.controls = [Goal("slope of its log time", steep[CONTROL], "<=", SLOPE)]
    report.figures = {
        "found": {str(n): found[n] for n in sizes},
        "slopes": {name: round(value, 3) for name, value in steep.items()},
    }
    report.notes = [
        "Milliseconds of the wall with the server of PostgreSQL, of the processor with SQLite."
    ]
    report.table = [
        ["page and number, ms", *(f"{n:,}" for n in sizes), "wall", "slope", "found"]
    ]
    report.table += [
        [
            name,
            *(f"{1000 * found[n][name]['seconds']:.1f}" for n in sizes),
            f"{1000 * found[many][name]['wall']:.1f}",
            f"{steep[name]:.3f}",
            f"{found[many][name]['count']:,}{'+' if found[many][name]['more'] else ''}",
        ]
        for name in ASKED
    ]
    return report
