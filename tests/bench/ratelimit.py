"""bin/bench ratelimit: no target is lost and no time wasted under a rate limit."""

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
    """Compare the worst round with the limits."""
    return [
        Goal("lost targets", max(turn.identity.lost for turn in turns), "<=", 0),
        Goal(
            "share of calls answered 429",
            max(turn.throttled / turn.calls for turn in turns),
            "<=",
            0.02,
        ),
        # Only the calls, as in the formula; the table has the time of the form.
        Goal(
            "time against (calls - burst) / rate",
            max(calls_seconds(turn) for turn in turns) / least,
            "<=",
            1.10,
        ),
    ]


def calls_seconds(turn: Turn) -> float:
    """Return the seconds from the first call to the last recorded outcome.

    A peer records nothing: its calls are all it does.
    """
    return turn.asked.calls if turn.asked else turn.seconds
