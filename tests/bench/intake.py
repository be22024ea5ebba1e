"""bin/bench input: the response time of a form with many ids, pasted and uploaded."""

from collections.abc import Sequence
from statistics import median
from time import perf_counter
from uuid import uuid4

from tests.bench.goals import Goal, Report
from tests.bench.product import Product, peak
from tests.bench.stage import CAN_BE_BOUND, CAN_BE_FROZEN, Stage
from tests.operations.deployment import Browser

WAYS = ("bind, pasted", "bind, uploaded", "freeze, pasted")


def run(stage: Stage, *, n: int, rounds: int, latency_ms: float) -> Report:
    rows = {
        way: [send(stage, way, n, latency_ms) for _round in range(rounds)]
        for way in WAYS
    }
    report = Report(
        "input",
        {"database": stage.kind, "n": n, "latency_ms": latency_ms, "rounds": rounds},
    )
    report.table = [["", "seconds", "recorded", "web MB more"]]
    for way, found in rows.items():
        seconds, recorded, more = (
            median(column) for column in zip(*found, strict=True)
        )
        report.table.append(
            [way, f"{seconds:.2f}", f"{recorded:.0f}", f"{more / 1e6:.0f}"]
        )
        report.goals.append(Goal(f"seconds: {way}", seconds, "<=", 1.5))
        report.goals.append(Goal(f"not recorded: {way}", n - recorded, "<=", 0))
    report.figures = {
        "ways": {way: [list(one) for one in found] for way, found in rows.items()}
    }
    report.control = "a limit of half as many targets, which refuses them all"
    _seconds, recorded, _more = send(
        stage, WAYS[0], n, latency_ms, TARGETS_LIMIT=n // 2
    )
    report.controls = [Goal("not recorded", n - recorded, "<=", 0)]
    return report


def send(
    stage: Stage, way: str, n: int, latency_ms: float, **settings: object
) -> tuple[float, int, int]:
    """Return the seconds, the targets recorded, and the extra memory of the web server.

    No worker runs.
    """
    stage.reset(latency_ms=latency_ms)
    product = stage.copy(**settings)
    try:
        product.base = product.start_web("--workers", "2", "--threads", "32")
        product.connection = product.database.connect(product.folder)
        ids = stage.ids(n, CAN_BE_FROZEN if way.startswith("freeze") else CAN_BE_BOUND)
        return post(product, way, stage.cloud.known_ids["policy"], ids)
    finally:
        product.stop()


def post(
    product: Product, way: str, policy: str, ids: Sequence[str]
) -> tuple[float, int, int]:
    web, text = product.processes[-1].pid, "\n".join(ids)
    binding = way.startswith("bind")
    browser = Browser(product.base, "policyadmin" if binding else "admin")
    page = f"/policies/{policy}/bind/" if binding else "/devices/selection.paste/"
    form = {"key": uuid4().hex} | browser.form(page) | {"reason": "measured"}
    if binding:
        about = {"policy": policy, "target_type": "device", "other_space": "on"}
        form |= {"act": "bind"} | about
    files = (
        {"upload": ("ids.csv", text, "text/csv")} if way.endswith("uploaded") else None
    )
    form |= {} if files else {"pasted": text}
    path, before = page if binding else "/devices/selection.freeze/", peak(web)
    began = perf_counter()
    browser.http.post(
        product.base + path, form, files=files, timeout=120, allow_redirects=False
    )
    seconds = perf_counter() - began
    (recorded,) = product.rows("select count(*) from operations_target")[0]
    return seconds, recorded, peak(web) - before
