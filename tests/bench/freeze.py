"""bin/bench freeze: calls used, and the time until each outcome is recorded."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from math import ceil
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

from iotda_admin.iotda import AkSk, Client, walk
from tests.bench.goals import Goal, Report
from tests.bench.identity import Identity, compare, sent
from tests.bench.peers import sdk_freeze_pool
from tests.bench.product import SETTINGS, MeasuredOperation, Product, peak
from tests.bench.stage import CAN_BE_FROZEN, WARM, Stage
from tests.bench.turns import Turn, add_turns, called

TASK, PAGE = 30_000, 50


def run(
    stage: Stage,
    *,
    n: int,
    conc: int,
    latency_ms: float,
    task_speed: float,
    rounds: int,
    settings: dict[str, Any] | None = None,
) -> Report:
    ids = stage.ids(WARM + n, CAN_BE_FROZEN)[WARM:]
    simulated = {"latency_ms": latency_ms, "task_speed": task_speed}
    turns, used = list[Turn](), list[dict[str, int]]()
    for _round in range(rounds):
        turns.append(peer(stage, ids, conc, **simulated))
        turns.append(measured(stage, ids, conc, settings or {}, **simulated))
        used.append(calls_used(stage))
    facts = {
        "database": stage.kind,
        "n": n,
        "conc": conc,
        "latency_ms": latency_ms,
        "task_speed": task_speed,
    }
    report = add_turns(Report("freeze", {**facts, "rounds": rounds}), turns)
    report.figures["calls_used"] = used
    report.notes += [
        f"calls of round {number}: {calls_text(one)}"
        for number, one in enumerate(used, 1)
    ]
    report.goals = goals(n, [turn.calls for turn in turns if turn.name == "product"])
    report.goals += [
        Goal("batch tasks", max(one["create"] for one in used), "<=", ceil(n / TASK)),
        Goal(
            "pages of outcomes", max(one["pages"] for one in used), "<=", ceil(n / PAGE)
        ),
        Goal(
            "calls that are neither tasks, polls nor pages",
            max(one["others"] for one in used),
            "<=",
            0,
        ),
    ]
    report.control = "one call a device"
    report.controls = goals(n, [turn.calls for turn in turns if turn.name != "product"])
    return report


def goals(n: int, calls: Sequence[int]) -> list[Goal]:
    return [Goal("times fewer calls than one a device", n / max(calls), ">=", 20)]


def peer(stage: Stage, ids: Sequence[str], conc: int, **simulated: float) -> Turn:
    stage.reset(**simulated)
    seconds, said = sdk_freeze_pool(stage.cloud, ids, conc)
    calls = called(stage.cloud)
    return Turn("sdk-pool", len(ids), seconds, frozen(stage, ids, said), *calls)


def measured(
    stage: Stage,
    ids: Sequence[str],
    conc: int,
    settings: dict[str, Any],
    **simulated: float,
) -> Turn:
    stage.reset()
    with stage.product(IOTDA_IN_FLIGHT=conc, **settings) as product:
        freeze(product, stage.ids(WARM, CAN_BE_FROZEN))
        stage.cloud.call("DELETE", "journal")
        stage.cloud.switch(**simulated)
        asked = freeze(product, ids)
        calls = called(stage.cloud)
        same = frozen(stage, ids, product.outcomes(asked))
        peaks = peak(product.worker.pid), peak(product.web.pid)
        return Turn("product", len(ids), asked.seconds, same, *calls, asked, *peaks)


def freeze(product: Product, ids: Sequence[str]) -> MeasuredOperation:
    return product.ask(
        "admin", "/devices/", "/devices/selection.freeze/", target=ids, key=uuid4().hex
    )


def frozen(stage: Stage, ids: Sequence[str], said: Mapping[str, str]) -> Identity:
    """Compare the frozen devices with the records, without those frozen before."""
    stage.cloud.switch(latency_ms=0)
    auth = AkSk(
        SETTINGS["IOTDA_AK"], SETTINGS["IOTDA_SK"], region=SETTINGS["IOTDA_REGION"]
    )
    client = Client(
        endpoint=stage.cloud.api, project_id=SETTINGS["IOTDA_PROJECT_ID"], auth=auth
    )
    with closing(client):
        applied = [
            device.device_id
            for device in walk(client.list_devices)
            if device.status == "FROZEN"
        ]
    return compare(
        ids, applied, sent(stage.cloud, "FreezeDevice", "freezeDevices"), said
    )


def calls_used(stage: Stage) -> dict[str, int]:
    """Count the calls by kind.

    A poll reads a task's state and its first page; further pages read outcomes.
    """
    calls = [
        (entry["operation"], entry["query"])
        for entry in stage.cloud.journal()
        if entry["method"]
    ]
    listed = [
        one for one in calls if one[0] == "ListDevices"
    ]  # our own query at the end
    shown = [query for name, query in calls if name == "ShowBatchTask"]
    pages = sum(is_page_turn(query) for query in shown)
    create = sum(name == "CreateBatchTask" for name, _query in calls)
    others = len(calls) - len(listed) - len(shown) - create
    return {
        "create": create,
        "polls": len(shown) - pages,
        "pages": pages,
        "others": others,
    }


def is_page_turn(query: str) -> bool:
    asked = parse_qs(query)
    return "marker" in asked or asked.get("offset", ["0"]) != ["0"]


def calls_text(used: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in used.items())
