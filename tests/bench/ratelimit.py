"""bin/bench ratelimit: the platform allows so many calls a second; nothing may be lost, nor time wasted."""

from math import ceil

from tests.bench.bind import measured, peer, targets
from tests.bench.goals import Goal, Report
from tests.bench.peers import CHUNK
from tests.bench.stage import Stage
from tests.bench.turns import Turn, add_turns


def run(
    stage: Stage,
    *,
    n: int,
    rate: int,
    burst: int,
    conc: int,
    latency_ms: float,
    rounds: int,
) -> Report:
    ids = targets(stage, n)
    simulated = {"latency_ms": latency_ms, "rate": rate, "burst": burst}
    allowed = {"IOTDA_RATE": rate, "IOTDA_BURST": burst}
    turns: list[Turn] = []
    for _round in range(rounds):
        turns.append(peer(stage, "sdk-pool", ids, conc, **simulated))
        turns.append(measured(stage, ids, conc, settings=allowed, **simulated))
    facts = {
        "database": stage.kind,
        "n": n,
        "rate": rate,
        "burst": burst,
        "conc": conc,
        "latency_ms": latency_ms,
    }
    report = add_turns(Report("ratelimit", {**facts, "rounds": rounds}), turns)
    least = (ceil(n / CHUNK) - burst) / rate
    report.goals = goals([turn for turn in turns if turn.name == "product"], least)
    report.control = "the SDK in a thread pool, which knows of no limit"
    report.controls = goals([turn for turn in turns if turn.name != "product"], least)
    return report


def goals(turns: list[Turn], least: float) -> list[Goal]:
    """By the worst round."""
    return [
        Goal("lost targets", max(turn.identity.lost for turn in turns), "<=", 0),
        Goal(
            "share of calls answered 429",
            max(turn.throttled / turn.calls for turn in turns),
            "<=",
            0.02,
        ),
        # Of the calls alone, as the formula is; what recording the form takes is told beside it.
        Goal(
            "time against (calls - burst) / rate",
            max(calls_seconds(turn) for turn in turns) / least,
            "<=",
            1.10,
        ),
    ]


def calls_seconds(turn: Turn) -> float:
    """From the first call to the last recorded outcome; a peer that records nothing makes calls only."""
    return turn.asked.calls if turn.asked else turn.seconds
