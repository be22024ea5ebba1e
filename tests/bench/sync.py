"""bin/bench sync: processor time of a sync for each row, unchanged and changed."""

from statistics import median
from typing import Any

from tests.bench.goals import Goal, Report
from tests.bench.product import PATIENCE
from tests.bench.stage import Stage

# Per row.
UNCHANGED_SECONDS, CHANGED_SECONDS = 60e-6, 120e-6
WAYS = ("unchanged", "changed", "control")
# Each with the time of the whole process and of the wall.
PROBE = """
import json
from time import perf_counter, process_time
from unittest import mock
from devices.models import Device
from iotda_admin.core.bulk_sql import update_changed_rows
from iotda_admin.inventory.mirror import Mirror
from iotda_admin.inventory.models import SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.rate.connection import client

def write_all(mirror, rows, stored):
    width = len(mirror.key)
    names = [*mirror.names[width:], "read_at"]
    values = [(*row[width:], stored[key].pk) for key, row in rows.items()]
    update_changed_rows(mirror.model, names, values)
    return []

way = {way!r}
if way == "changed":
    Device.objects.update(description="before")
confirm = write_all if way == "control" else Mirror.confirm
run = SyncRun.objects.create()
with mock.patch.object(Mirror, "confirm", confirm):
    wall, processor = perf_counter(), process_time()
    assert run_sync(run, client()), run.error
    processor, wall = process_time() - processor, perf_counter() - wall
assert not Device.objects.filter(description="before").exists()
print(json.dumps({{"rows": run.rows, "processor": processor, "wall": wall}}))
"""


def run(stage: Stage, *, rounds: int, latency_ms: float) -> Report:
    stage.reset(latency_ms=latency_ms)
    samples: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    # In turns, so that other load affects all alike.
    for way in WAYS * rounds:
        code = PROBE.format(way=way)
        samples[way] += stage.prepared.shell(code, timeout=PATIENCE)
    rows = samples["unchanged"][0]["rows"]
    facts = {"database": stage.kind, "rows": rows, "latency_ms": latency_ms}
    report = Report("sync", {**facts, "rounds": rounds})
    found = {way: medians(some) for way, some in samples.items()}
    report.goals = [
        goal("unchanged", found["unchanged"], UNCHANGED_SECONDS),
        goal("changed", found["changed"], CHANGED_SECONDS),
    ]
    report.control = "each row is written, changed or not"
    report.controls = [goal("unchanged", found["control"], UNCHANGED_SECONDS)]
    report.figures = {"seconds": found}
    report.table = [["a row, microseconds", "processor", "wall"]]
    report.table += [
        [way, *(f"{1e6 * one[name]:.0f}" for name in ("processor", "wall"))]
        for way, one in found.items()
    ]
    return report


def medians(samples: list[dict[str, Any]]) -> dict[str, float]:
    """Return the seconds for a row."""
    return {
        name: median(one[name] / one["rows"] for one in samples)
        for name in ("processor", "wall")
    }


def goal(name: str, found: dict[str, float], seconds: float) -> Goal:
    microseconds = 1e6 * found["processor"]
    return Goal(
        f"processor microseconds a row, {name}", microseconds, "<=", 1e6 * seconds
    )
