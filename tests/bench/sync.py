"""bin/bench sync: the time of a sync for each row, beside the vendor SDK's listing.

One more sync runs while devices come and go: none may be missing or doubled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from statistics import median
from threading import Event, Thread
from typing import Any

from iotda_admin.iotda import AkSk, Client, walk
from tests.bench.goals import Goal, Report
from tests.bench.identity import Identity
from tests.bench.peers import sdk_listing
from tests.bench.product import PATIENCE
from tests.bench.stage import Stage
from tests.cloud import Cloud

# Processor time for a row; how many times faster than the SDK.
UNCHANGED_SECONDS, CHANGED_SECONDS, TIMES_SDK = 60e-6, 120e-6, 8
SDK_PAGES = 60
WAYS = ("unchanged", "changed", "control")
# The seconds between two changes at the platform.
CHANGE_SECONDS = 0.004
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
# The IDs that a sync reads, and those in the table afterwards.
MOVING = """
import json
from unittest import mock
from devices.models import Device
from devices.sync import Devices
from iotda_admin.inventory.models import SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.rate.connection import client

read, pages = [], Devices.pages

def noted(mirror, client):
    for rows in pages(mirror, client):
        read.extend(row.device_id for row in rows)
        yield rows

run = SyncRun.objects.create()
with mock.patch.object(Devices, "pages", noted):
    assert run_sync(run, client()), run.error
stored = list(Device.objects.values_list("pk", flat=True))
print(json.dumps({"read": read, "stored": stored}))
"""


def run(stage: Stage, *, conc: int, rounds: int, latency_ms: float) -> Report:
    stage.reset(latency_ms=latency_ms)
    stage.prepared.env["INVENTORY_IN_FLIGHT"] = str(conc)
    samples: dict[str, list[dict[str, Any]]] = {way: [] for way in ("sdk", *WAYS)}
    # In turns, so that other load affects all alike.
    for _round in range(rounds):
        wall, processor, rows = sdk_listing(stage.cloud, SDK_PAGES)
        samples["sdk"] += [{"rows": rows, "processor": processor, "wall": wall}]
        for way in WAYS:
            code = PROBE.format(way=way)
            samples[way] += stage.prepared.shell(code, timeout=PATIENCE)
    rows = samples["unchanged"][0]["rows"]
    facts = {"database": stage.kind, "rows": rows, "latency_ms": latency_ms}
    report = Report("sync", {**facts, "conc": conc, "rounds": rounds})
    report.identity, moved = sync_while_devices_move(stage)
    report.facts["moved"] = moved
    return with_figures(
        report, {way: seconds_a_row(some) for way, some in samples.items()}
    )


def with_figures(report: Report, found: dict[str, dict[str, float]]) -> Report:
    faster = found["sdk"]["wall"] / found["unchanged"]["wall"]
    report.goals = [
        goal("unchanged", found["unchanged"], UNCHANGED_SECONDS),
        goal("changed", found["changed"], CHANGED_SECONDS),
        Goal("times faster than the SDK's listing", faster, ">=", TIMES_SDK),
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


def seconds_a_row(samples: list[dict[str, Any]]) -> dict[str, float]:
    return {
        name: median(one[name] / one["rows"] for one in samples)
        for name in ("processor", "wall")
    }


def goal(name: str, found: dict[str, float], seconds: float) -> Goal:
    microseconds = 1e6 * found["processor"]
    return Goal(
        f"processor microseconds a row, {name}", microseconds, "<=", 1e6 * seconds
    )


def sync_while_devices_move(stage: Stage) -> tuple[Identity, int]:
    """Sync while devices are deleted and registered; return what is wrong, and how many.

    A device that is there from the first page to the last is missing if it is not
    stored, and doubled if it was read twice. One that was deleted may be either.
    """
    before = listed(stage.cloud)
    with moving(stage.cloud, before) as deleted:
        (found,) = stage.prepared.shell(MOVING, timeout=PATIENCE)
    stable, read = set(before) - set(deleted), found["read"]
    missing = stable - {*found["stored"]}
    doubled = len(read) - len({*read})
    return Identity(missing=len(missing), unrecorded=0, wrong=0, twice=doubled), len(
        deleted
    )


def listed(cloud: Cloud) -> list[str]:
    project = cloud.known_ids["project_id"]
    keys = AkSk("DEMOAK", "DEMOSK")
    client = Client(endpoint=cloud.api, project_id=project, auth=keys)
    try:
        return [device.device_id for device in walk(client.list_devices)]
    finally:
        client.close()


@contextmanager
def moving(cloud: Cloud, ids: list[str]) -> Iterator[list[str]]:
    """Delete devices everywhere in the list, and register others, until the end."""
    ended, deleted, product = Event(), list[str](), cloud.known_ids["product"]
    order = Random(1).sample(ids, len(ids))

    def move() -> None:
        for number, device in enumerate(order[: len(order) // 2]):
            if ended.wait(CHANGE_SECONDS):
                return
            deleted.append(device)
            cloud.call("DELETE", f"devices/{device}")
            new = {"product_id": product, "node_id": f"new-{number}"}
            cloud.call("POST", "devices", json=new)

    thread = Thread(target=move)
    thread.start()
    try:
        yield deleted
    finally:
        ended.set()
        thread.join()
