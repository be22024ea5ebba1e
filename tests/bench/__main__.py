"""Measure the product; print a table and a line of JSON.

Exits with 1 on a missed goal.
"""

import argparse
import sys
from typing import Any

from tests.bench import (
    audit,
    bind,
    find,
    first_view,
    freeze,
    growth,
    idle,
    intake,
    memory,
    page,
    ratelimit,
    sync,
)
from tests.bench.busy import Usage, spinning
from tests.bench.goals import Report
from tests.bench.peers import BIND_PEERS
from tests.bench.stage import Stage, room_for, staged


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bin/bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add(commands, "bind", n=10_000, conc=8, latency=50).add_argument(
        "--against", default=",".join(BIND_PEERS)
    )
    add(
        commands,
        "bind-growth",
        n=100_000,
        conc=16,
        latency=20,
        says="the largest of three sizes",
    )
    limited = add(commands, "ratelimit", n=20_000, conc=16, latency=20)
    limited.add_argument("--rate", type=int, default=200, help="calls per second")
    limited.add_argument("--burst", type=int, help="calls at once (default: the rate)")
    frozen = add(commands, "freeze", n=10_000, conc=8, latency=10)
    frozen.add_argument(
        "--task-speed",
        type=float,
        default=2000,
        help="devices per second in a batch task",
    )
    idling = add(commands, "idle", n=100, conc=1, latency=0, says="simulated devices")
    idling.add_argument("--seconds", type=float, default=30)
    add(commands, "input", n=100_000, conc=8, latency=20, file="intake")
    add(
        commands,
        "audit",
        n=1_000_000,
        conc=1,
        latency=0,
        says="events in the largest of three trails",
    )
    add(commands, "sync", n=20_000, conc=11, latency=20, says="simulated devices")
    add(commands, "page", n=100_000, conc=1, latency=0, says="the most devices")
    add(
        commands,
        "first-view",
        n=10_000,
        conc=1,
        latency=0,
        says="simulated devices",
        file="first_view",
    )
    add(commands, "memory", n=10_000, conc=1, latency=0, says="requests")
    finding = commands.add_parser("find", help="tests/bench/find.py")
    finding.add_argument(
        "--sizes", default="2e4,2e5", help="devices; 1e6 takes minutes to make"
    )
    finding.add_argument("--rounds", type=int, default=3)
    finding.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    for command in commands.choices.values():
        command.add_argument(
            "--busy", type=int, default=0, help="processes that spin beside it"
        )
    return parser


def add(
    commands: Any,
    name: str,
    *,
    n: int,
    conc: int,
    latency: float,
    says: str = "targets",
    file: str = "",
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=f"tests/bench/{file or name.rpartition('-')[2]}.py"
    )
    command.add_argument("--n", type=int, default=n, help=says)
    command.add_argument("--conc", type=int, default=conc, help="calls in flight")
    command.add_argument(
        "--latency-ms", type=float, default=latency, help="latency of the simulator"
    )
    command.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="rounds, of which the medians are reported",
    )
    command.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    return command


def measure(stage: Stage, asked: argparse.Namespace) -> Report:
    common = {
        "conc": asked.conc,
        "latency_ms": asked.latency_ms,
        "rounds": asked.rounds,
    }
    match asked.command:
        case "bind":
            return bind.run(
                stage, n=asked.n, against=asked.against.split(","), **common
            )
        case "bind-growth":
            return growth.run(
                stage, sizes=[asked.n // 100, asked.n // 10, asked.n], **common
            )
        case "ratelimit":
            return ratelimit.run(
                stage,
                n=asked.n,
                rate=asked.rate,
                burst=asked.burst or asked.rate,
                **common,
            )
        case "idle":
            return idle.run(stage, seconds=asked.seconds, rounds=asked.rounds)
        case "input":
            return intake.run(
                stage, n=asked.n, rounds=asked.rounds, latency_ms=asked.latency_ms
            )
        case "first-view":
            return first_view.run(stage, rounds=asked.rounds)
        case "sync":
            return sync.run(stage, **common)
        case _:
            return freeze.run(stage, n=asked.n, task_speed=asked.task_speed, **common)


def run_command(asked: argparse.Namespace) -> Report:
    # These need no platform.
    if asked.command == "audit":
        sizes = [asked.n // 100, asked.n // 10, asked.n]
        return audit.run(kind=asked.database, sizes=sizes, rounds=asked.rounds)
    if asked.command == "find":
        sizes = [int(float(size)) for size in asked.sizes.split(",")]
        return find.run(kind=asked.database, sizes=sizes, rounds=asked.rounds)
    if asked.command == "page":
        sizes = [asked.n // 10, asked.n]
        return page.run(kind=asked.database, sizes=sizes, rounds=asked.rounds)
    if asked.command == "memory":
        with staged(memory.DEVICES, asked.database) as stage:
            return memory.run(stage, n=asked.n, rounds=asked.rounds)
    with staged(
        room_for(asked.n), asked.database, TARGETS_LIMIT=max(asked.n, 100)
    ) as stage:
        return measure(stage, asked)


def main(words: list[str] | None = None) -> int:
    asked = parser().parse_args(words)
    usage = Usage()
    with spinning(asked.busy):
        report = run_command(asked)
        # The processes that spin have not ended, so they do not count.
        report.whole = usage.so_far()
    if asked.busy:
        report.facts["busy"] = asked.busy
    return print_report(report)


def print_report(report: Report) -> int:
    print(report.as_text())
    print(report.as_json())
    return 0 if report.met else 1


if __name__ == "__main__":
    sys.exit(main())
