"""Attack the product and compare its records with the journal of the simulator.

The exit status is 0 only if no violation was found and the control found some.
"""

import argparse
import importlib
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests import redis_server
from tests.chaos.forks import Child, collect, send_result
from tests.chaos.report import Findings, report
from tests.chaos.stage import stage

PARTS = 2  # side by side; each has a platform and a database of its own
DEVICES = {
    "kill9": 300,
    "wire": 60,
    "schedules": 300,
    "races": 60,
    "restore": 120,
    "celery": 60,
    "fuzz": 60,
    "odd": 120,
    "identity": 120,
    "starve": 120,
    "locked": 60,
    "restarted": 60,
    "audit": 0,
}
# Commands whose module has another name.
MODULES = {"audit": "tampering", "celery": "celery_engine"}
CONTROL_POINTS = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in DEVICES:
        command = commands.add_parser(name)
        command.add_argument(
            "--seed", type=int, default=random.SystemRandom().randrange(2**31)
        )
        command.add_argument(
            "--database", choices=("sqlite", "postgres"), default="sqlite"
        )
    commands.choices["kill9"].add_argument("--points", type=int, default=1000)
    commands.choices["schedules"].add_argument("--n", type=int, default=1000)
    commands.choices["races"].add_argument("--rounds", type=int, default=500)
    commands.choices["restore"].add_argument("--backups", type=int, default=200)
    commands.choices["celery"].add_argument("--targets", type=int, default=10_000)
    commands.choices["celery"].add_argument("--kills", type=int, default=2)
    commands.choices["fuzz"].add_argument("--n", type=int, default=100_000)
    commands.choices["fuzz"].add_argument(
        "--only", type=int, help="send only this input and print it in full"
    )
    commands.choices["odd"].add_argument("--n", type=int, default=10_000)
    commands.choices["identity"].add_argument("--rounds", type=int, default=1000)
    starving = commands.choices["starve"]
    starving.add_argument("--pages", type=int, default=160, help="requested at once")
    starving.add_argument("--latency", type=float, default=8, help="of IoTDA, seconds")
    starving.add_argument("--clients", type=int, default=140, help="slow ones")
    starving.add_argument("--sign-ins", type=int, default=64, help="side by side")
    starving.add_argument(
        "--duration", type=float, default=15, help="of an attack, seconds"
    )
    starving.add_argument("--facts", action="store_true", help="time does not count")
    commands.choices["locked"].add_argument(
        "--hold", type=float, default=60, help="the lock for so many seconds"
    )
    commands.choices["locked"].add_argument(
        "--facts", action="store_true", help="time does not count"
    )
    commands.choices["restarted"].add_argument("--restarts", type=int, default=5)
    commands.choices["audit"].add_argument("--n", type=int, default=1000)
    commands.choices["wire"].add_argument("--faults", nargs="*", default=[])
    options = vars(parser.parse_args())
    # On SIGTERM each process still ends the processes it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return globals()[options["command"]](options)


def side_by_side(options: dict[str, Any], **shares: list[Any]) -> Findings:
    """Run the command in several processes, each with its share."""
    parts = [
        dict(zip(shares, values, strict=True))
        for values in zip(*shares.values(), strict=True)
    ]
    children = [
        Child(send_result, part, "run", {**options, **share}) for share in parts
    ]
    found = Findings()
    try:
        for child in children:
            found.add(collect(child))
    finally:
        for child in children:
            child.end()
    return found


def part(act: str, options: dict[str, Any]) -> Findings:
    """Run one part with its own stage; only then is the product imported."""
    # Only directly connected devices can be targets.
    devices = max(DEVICES[options["command"]], 2 * options.get("targets", 0))
    with stage(options["database"], devices) as own:
        name = MODULES.get(options["command"], options["command"])
        attack = importlib.import_module(f"tests.chaos.{name}")
        run: Callable[..., Findings] = getattr(attack, act)
        return run(own, options)


def alone(act: str, options: dict[str, Any]) -> Findings:
    child = Child(send_result, part, act, options)
    try:
        return collect(child)
    finally:
        child.end()


def finish(
    options: dict[str, Any],
    started: float,
    found: Findings,
    problems: Sequence[str] = (),
    **for_control: Any,
) -> int:
    """Run the control of a command, and report both; return the exit status."""
    figures = options | {"seconds": round(time.monotonic() - started, 1)}
    control = alone("control", options | for_control)
    title = (
        f"{options['command']} on {options['database']}, seed {options['seed']}, "
        f"{figures['seconds']} s"
    )
    return report(title, figures, found, control, list(problems))


def in_parts(options: dict[str, Any]) -> int:
    """Run a command whose inputs are shared out among processes."""
    started = time.monotonic()
    shares = list(range(PARTS))
    found = side_by_side(options, part=shares, parts=[PARTS] * PARTS)
    return finish(options, started, found)


def repeated(
    options: dict[str, Any], unit: str, useful: str, least: float, problem: str
) -> int:
    """Run a command that repeats its attack.

    unit            the option with the number of repetitions
    useful, least   the share of them that must have met what the command is for
    """
    started, times = time.monotonic(), options[unit]
    half = times // 2
    seeds = [options["seed"], options["seed"] + 1]
    found = side_by_side(options, **{unit: [half, times - half], "seed": seeds})
    problems = [problem] if found.numbers[useful] < least * times else []
    few = {unit: min(times, CONTROL_POINTS)}
    return finish(options, started, found, problems, **few)


def at_once(options: dict[str, Any]) -> int:
    """Run a command that has processes of its own."""
    started = time.monotonic()
    return finish(options, started, alone("run", options))


wire = schedules = in_parts
races = audit = locked = starve = at_once


def kill9(options: dict[str, Any]) -> int:
    problem = "fewer than 30 % of the kills were during a batch"
    return repeated(options, "points", "mid_batch", 0.3, problem)


def restore(options: dict[str, Any]) -> int:
    problem = "fewer than 20 % of the backups had work to hold"
    return repeated(options, "backups", "held", 0.2, problem)


def odd(options: dict[str, Any]) -> int:
    problem = "fewer odd values than asked for were answered"
    return repeated(options, "n", "odd values", 1, problem)


def identity(options: dict[str, Any]) -> int:
    problem = "fewer answers were mixed up than asked for"
    return repeated(options, "rounds", "mix-ups", 1, problem)


def restarted(options: dict[str, Any]) -> int:
    """Run with a server of its own, beside the database of the stage."""
    started, found = time.monotonic(), alone("run", options)
    its_own = options | {"database": "postgres"}
    return finish(its_own, started, found, database=options["database"])


def fuzz(options: dict[str, Any]) -> int:
    if options["only"] is not None:
        return 1 if alone("run", options).violations else 0
    return in_parts(options)


def celery(options: dict[str, Any]) -> int:
    if why := redis_server.missing():
        print(f"bin/chaos celery: {why}", file=sys.stderr)
        return 2
    with redis_server.redis_for_all():
        started = time.monotonic()
        found = alone("run", options)
        few = found.numbers["mid_batch"] < options["kills"]
        problems = ["not every kill was during a batch"] if few else []
        return finish(options, started, found, problems)


if __name__ == "__main__":
    sys.exit(main())
