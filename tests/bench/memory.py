"""bin/bench memory: the memory of a web process after few and after many requests."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from tests.bench.goals import Goal, Report
from tests.bench.product import PATIENCE, Product, children
from tests.bench.stage import Stage
from tests.operations.deployment import Browser

DEVICES = 2000
MEGABYTES, GROWTH = 75, 1.1
# The share of the requests after which memory is measured first.
EARLY = 10
VISITORS = 4
PAGES = [
    "/",
    "/devices/",
    "/devices/?status=FROZEN",
    "/devices/?q=pump",
    "/devices/{device}/",
    "/devices/{device}/freeze/",
    "/policies/",
    "/operations/",
    "/audit/",
]
SIDES: dict[str, dict[str, str]] = {
    "product": {},
    # Keeps 200 kB of each request.
    "leaking": {"TEST_ROOT_URLCONF": "tests.bench.leaking_urls"},
}


def run(stage: Stage, *, n: int, rounds: int) -> Report:
    found = {
        side: [measured(stage, n, settings) for _round in range(rounds)]
        for side, settings in SIDES.items()
    }
    report = Report("memory", {"database": stage.kind, "requests": n, "rounds": rounds})
    megabytes = {side: middle(some) for side, some in found.items()}
    report.figures = {"megabytes": megabytes}
    report.table = [["MB (PSS) of a web process", f"{n // EARLY:,}", f"{n:,} requests"]]
    report.table += [
        [side, *(f"{mb:.1f}" for mb in some)] for side, some in megabytes.items()
    ]
    report.goals = goals(*megabytes["product"])
    report.control = "a view that keeps a part of each request"
    report.controls = goals(*megabytes["leaking"])
    return report


def middle(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [median(values) for values in zip(*rounds, strict=True)]


def goals(few: float, many: float) -> list[Goal]:
    return [
        Goal("MB of a web process in the end", many, "<=", MEGABYTES),
        Goal("growth", many / few, "<=", GROWTH),
    ]


def measured(stage: Stage, n: int, settings: dict[str, str]) -> tuple[float, float]:
    """Return the megabytes of the one process after a part and after all requests."""
    product = stage.copy(**settings)
    try:
        base = product.start_web("--workers", "1", "--threads", "8")
        visitors = [Browser(base, "admin") for _visitor in range(VISITORS)]
        paths = cycle(page.format(device=stage.ids(1, "1=1")[0]) for page in PAGES)
        few = n // EARLY
        visit(visitors, list(islice(paths, few)))
        early = megabytes(product)
        visit(visitors, list(islice(paths, n - few)))
        return early, megabytes(product)
    finally:
        product.kill()


def visit(visitors: Sequence[Browser], paths: Sequence[str]) -> None:
    def open_pages(number: int) -> None:
        browser = visitors[number]
        for path in paths[number::VISITORS]:
            answer = browser.http.get(browser.base + path, timeout=PATIENCE)
            assert answer.status_code == 200, (path, answer.status_code)

    with ThreadPoolExecutor(VISITORS) as pool:
        list(pool.map(open_pages, range(VISITORS)))


def megabytes(product: Product) -> float:
    """Return the memory of the web process, its share of what others use, too."""
    [process] = children(product.processes[-1].pid)
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
    assert found
    return int(found[1]) / 1000
