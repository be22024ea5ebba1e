"""bin/bench idle: the share of a core that an idle worker and web server use."""

import time
from collections.abc import Sequence

from tests.bench.goals import Goal, Report
from tests.bench.product import Product, cpu
from tests.bench.stage import Stage

LIMIT_PERCENTS = {"worker": 0.5, "web": 0.2}
# They have started by then, and the worker has read the inventory's state.
WARM_UP_SECONDS = 5.0
# The control: a worker that polls with this query 50 times a second.
POLLING = """
import time, django
django.setup()
from iotda_admin.operations.models import Chunk
while True:
    Chunk.objects.filter(state="pending").exists()
    time.sleep(0.02)
"""
SIDES = {
    "worker": ["manage.py", "worker", "--verbosity", "0"],
    # As the README starts it, with a socket that nobody knows.
    "web": [
        "-m",
        "gunicorn",
        "iotda_admin.wsgi",
        "--workers",
        "2",
        "--threads",
        "32",
        "-b",
        "127.0.0.1:0",
    ],
    "polling": ["-c", POLLING],
}


def run(
    stage: Stage, *, seconds: float, rounds: int, warm_up: float = WARM_UP_SECONDS
) -> Report:
    product = stage.copy()
    percents = {
        side: [measured(product, command, seconds, warm_up) for _round in range(rounds)]
        for side, command in SIDES.items()
    }
    report = Report(
        "idle", {"database": stage.kind, "seconds": seconds, "rounds": rounds}
    )
    report.table = [["", "percent of a core, each round"]]
    report.table += [
        [side, ", ".join(f"{percent:.2f}" for percent in found)]
        for side, found in percents.items()
    ]
    report.figures = {"percent": percents}
    report.goals = [goal(side, percents[side]) for side in LIMIT_PERCENTS]
    report.control = "a process that polls the database 50 times a second"
    report.controls = [goal("worker", percents["polling"])]
    return report


def goal(side: str, percents: Sequence[float]) -> Goal:
    """Compare the worst round with the limit."""
    return Goal(f"percent of a core, {side}", max(percents), "<=", LIMIT_PERCENTS[side])


def measured(
    product: Product, command: Sequence[str], seconds: float, warm_up: float
) -> float:
    process = product.start(*command)
    try:
        time.sleep(warm_up)
        before, began = cpu(process.pid), time.monotonic()
        time.sleep(seconds)
        return 100 * (cpu(process.pid) - before) / (time.monotonic() - began)
    finally:
        product.kill()
