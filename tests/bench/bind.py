"""bin/bench bind: one policy on many devices, from form to last recorded outcome."""

from collections.abc import Sequence
from typing import Any

from tests.bench import identity
from tests.bench.controls import naive
from tests.bench.goals import Goal, Report
from tests.bench.peers import BIND_PEERS
from tests.bench.product import MeasuredOperation, Product, peak
from tests.bench.stage import CAN_BE_BOUND, WARM, Stage
from tests.bench.turns import Turn, add_turns, called, medians

LOOPED = 200  # targets of the loop; its time is counted per target
CONTROLLED = 2000


def run(
    stage: Stage,
    *,
    n: int,
    conc: int,
    latency_ms: float,
    against: Sequence[str],
    rounds: int,
) -> Report:
    ids = targets(stage, n)
    simulated: dict[str, Any] = {"latency_ms": latency_ms}
    turns: list[Turn] = []
    for _round in range(rounds):
        for name in against:
            turns.append(
                peer(
                    stage,
                    name,
                    ids[:LOOPED] if name == "sdk-loop" else ids,
                    conc,
                    **simulated,
                )
            )
        turns.append(measured(stage, ids, conc, **simulated))
    facts = {
        "database": stage.kind,
        "n": n,
        "conc": conc,
        "latency_ms": latency_ms,
        "rounds": rounds,
    }
    report = add_turns(Report("bind", facts), turns)
    a_target = medians(turns)
    report.goals = goals(
        a_target.pop("product"), a_target, conc, latency_ms, stage.kind
    )
    some = ids[:CONTROLLED]
    control = naive(stage, "save_each", some, conc, **simulated) / len(some)
    report.control = "one save() a target, from the threads that send"
    report.controls = goals(control, a_target, conc, latency_ms, stage.kind)
    return report


def goals(
    a_target: float, peers: dict[str, float], conc: int, latency_ms: float, kind: str
) -> list[Goal]:
    """Compare the seconds per target with the peers, which record nothing."""
    floor = 1.30 if kind == "postgres" else 1.10 if latency_ms >= 50 else 1.20
    found = []
    if "raw" in peers:
        found.append(
            Goal("time against raw sockets", a_target / peers["raw"], "<=", floor)
        )
    if "sdk-loop" in peers:
        times = 250 if conc >= 16 else 140
        found.append(
            Goal(
                "times as fast as the SDK, one id a call",
                peers["sdk-loop"] / a_target,
                ">=",
                times,
            )
        )
    if "sdk-pool" in peers:
        found.append(
            Goal(
                "time against the SDK in a thread pool",
                a_target / peers["sdk-pool"],
                "<=",
                1.0,
            )
        )
    return found


def targets(stage: Stage, count: int) -> list[str]:
    """Return the measured targets, without those of the warm-up."""
    return stage.ids(WARM + count, CAN_BE_BOUND)[WARM:]


def peer(
    stage: Stage, name: str, ids: Sequence[str], conc: int, **simulated: float
) -> Turn:
    stage.reset(**simulated)
    policy = stage.cloud.known_ids["policy"]
    seconds, said = BIND_PEERS[name](stage.cloud, policy, ids, conc)
    return Turn(
        name,
        len(ids),
        seconds,
        identity.bound(stage.cloud, policy, ids, said),
        *called(stage.cloud),
    )


def measured(
    stage: Stage,
    ids: Sequence[str],
    conc: int,
    *,
    settings: dict[str, Any] | None = None,
    **simulated: float,
) -> Turn:
    """Measure the product after a warm-up with a few other targets."""
    stage.reset()
    policy = stage.cloud.known_ids["policy"]
    with stage.product(IOTDA_IN_FLIGHT=conc, **settings or {}) as product:
        bind(product, policy, stage.ids(WARM, CAN_BE_BOUND))
        stage.cloud.call("DELETE", "journal")
        stage.cloud.switch(**simulated)
        asked = bind(product, policy, ids)
        same = identity.bound(stage.cloud, policy, ids, product.outcomes(asked))
        peaks = peak(product.worker.pid), peak(product.web.pid)
        return Turn(
            "product",
            len(ids),
            asked.seconds,
            same,
            *called(stage.cloud),
            asked,
            *peaks,
        )


def bind(product: Product, policy: str, ids: Sequence[str]) -> MeasuredOperation:
    page = f"/policies/{policy}/bind/"
    fields = {
        "act": "bind",
        "policy": policy,
        "target_type": "device",
        "other_space": "on",
        "pasted": "\n".join(ids),
    }
    return product.ask("policyadmin", page, page, **fields)
