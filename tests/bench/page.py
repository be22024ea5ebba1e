"""bin/bench page: processor time and size of the device list and the overview."""

from collections.abc import Sequence

from tests.bench.goals import Goal, Report
from tests.bench.probed import Answers, measure_in_turns, probed

LISTS = ["list", "list, frozen"]
OVERVIEW, ADMIN, CONTROL = "overview", "admin", "control"
QUESTIONS = [*LISTS, OVERVIEW, ADMIN, CONTROL]
ASKED = 5  # times in a round

LIST_SECONDS, LIST_BYTES = 0.012, 60_000
OVERVIEW_SECONDS = 0.020
SHARE_OF_ADMIN = 1 / 8


def run(*, kind: str, sizes: Sequence[int], rounds: int) -> Report:
    with probed("tests.bench.page_probe", kind, sizes) as made:
        pages = measure_in_turns(made, QUESTIONS, rounds * ASKED)
    return make_report(kind, rounds, pages)


def make_report(kind: str, rounds: int, pages: Answers) -> Report:
    sizes = list(pages)
    many = sizes[-1]
    report = Report("page", {"database": kind, "sizes": sizes, "rounds": rounds})
    slowest = slowest_list(pages)
    whole = max(pages[size][name]["bytes"] for size in sizes for name in LISTS)
    share = pages[many]["list"]["seconds"] / pages[many][ADMIN]["seconds"]
    overview = max(pages[size][OVERVIEW]["seconds"] for size in sizes)
    report.goals = [
        Goal("processor seconds, the slowest list", slowest, "<=", LIST_SECONDS),
        Goal("bytes, the longest list", whole, "<=", LIST_BYTES),
        Goal(f"share of Django's admin, {many:,} devices", share, "<=", SHARE_OF_ADMIN),
        Goal("processor seconds, the overview", overview, "<=", OVERVIEW_SECONDS),
    ]
    report.control = "the template of each row is rendered"
    control = min(pages[size][CONTROL]["seconds"] for size in sizes)
    report.controls = [Goal("processor seconds", control, "<=", LIST_SECONDS)]
    report.figures = {"pages": {str(size): pages[size] for size in sizes}}
    report.table = [["page", *(f"{size:,}" for size in sizes), "bytes", "sent"]]
    report.table += [
        [
            name,
            *(f"{1000 * pages[size][name]['seconds']:.1f} ms" for size in sizes),
            f"{pages[many][name]['bytes']:,}",
            f"{pages[many][name]['sent']:,}",
        ]
        for name in QUESTIONS
    ]
    return report


def slowest_list(pages: Answers) -> float:
    return max(
        float(page[name]["seconds"]) for page in pages.values() for name in LISTS
    )
