"""bin/bench audit: time of the pages of a long and a short trail, and the cost of
verifying it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.databases import Postgres, Sqlite, database
from tests.bench.goals import Goal, Report, slope
from tests.bench.product import SETTINGS
from tests.bench.questions import ALL
from tests.cloud import ROOT

# Each runs in its own process, to measure its memory alone.
ALONE = {
    "CSV": ("export", "csv"),
    "JSON lines": ("export", "jsonl"),
    "verify": ("verify",),
}
MEGABYTE = 1_000_000

# These read a limited number of rows; their time grows up to that number.
BOUNDED = {
    "apart": "two filters that never meet",
    "error codes": "the codes of the newest 10,000 failures",
}

type Pages = dict[int, dict[str, dict[str, Any]]]
type Figures = dict[int, dict[str, Any]]


class Trail:
    """A database that holds a trail of one size."""

    def __init__(self, folder: Path, kept: Sqlite | Postgres) -> None:
        self.folder, self.kept = folder, kept
        self.env = os.environ | SETTINGS
        self.env |= {
            "DATA_DIR": str(folder),
            "DATABASE_URL": kept.url(folder),
            "ALLOWED_HOSTS": "testserver",
        }

    def begun(self) -> "Trail":
        self.folder.mkdir()
        for command in (["migrate", "-v0"], ["collectstatic", "-v0", "--no-input"]):
            self.process("manage.py", *command)
        return self

    def copy(self, folder: Path) -> "Trail":
        shutil.copytree(self.folder, folder)
        self.kept.copy(self.folder, folder)
        return Trail(folder, self.kept)

    def probe(self, *words: object) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.process("-m", "tests.bench.trail_probe", *map(str, words))
        )
        return found

    @contextmanager
    def start_reader(self) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "tests.bench.trail_probe", "questions"]
        with subprocess.Popen(
            command, cwd=ROOT, env=self.env, text=True, stdin=-1, stdout=-1
        ) as reader:
            yield reader
            reader.communicate()  # ends its input, so it exits

    def process(self, *words: str) -> str:
        command = [sys.executable, *words]
        return subprocess.run(
            command, cwd=ROOT, env=self.env, check=True, text=True, stdout=-1
        ).stdout


@contextmanager
def trails(kind: str, sizes: Sequence[int]) -> Iterator[dict[int, Trail]]:
    """Make a trail of each size; each is the beginning of the next."""
    home, kept = Path(tempfile.mkdtemp(prefix="bench-")), database(kind)
    home.chmod(0o755)
    try:
        made: dict[int, Trail] = {}
        last: Trail | None = None
        for size in sizes:
            last = (
                last.copy(home / str(size))
                if last
                else Trail(home / str(size), kept).begun()
            )
            last.probe("fill", size)
            made[size] = last
        yield made
    finally:
        kept.close()
        shutil.rmtree(home)


def run(*, kind: str, sizes: Sequence[int], rounds: int) -> Report:
    with trails(kind, sizes) as made:
        pages = measure_in_turns(made, rounds * 3)
        alone = {
            size: {name: made[size].probe(*words) for name, words in ALONE.items()}
            for size in sizes
        }
    return make_report(kind, rounds, pages, alone)


def measure_in_turns(made: dict[int, Trail], rounds: int) -> Pages:
    """Ask each question of all sizes in turn, so that other load affects all alike."""
    with ExitStack() as stack:
        readers = {
            size: stack.enter_context(trail.start_reader())
            for size, trail in made.items()
        }
        samples: dict[int, Any] = {size: defaultdict(list) for size in made}
        for name in ALL * rounds:
            for size, reader in readers.items():
                samples[size][name].append(ask_probe(reader, name))
    return {
        size: {name: middle(some) for name, some in found.items()}
        for size, found in samples.items()
    }


def ask_probe(reader: subprocess.Popen[str], name: str) -> dict[str, Any]:
    assert reader.stdin
    assert reader.stdout
    reader.stdin.write(f"{name}\n")
    reader.stdin.flush()
    answer: dict[str, Any] = json.loads(reader.stdout.readline())
    return answer


def middle(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "seconds": median(one["seconds"] for one in samples),
        "rows": samples[-1]["rows"],
    }


def make_report(kind: str, rounds: int, pages: Pages, alone: Figures) -> Report:
    sizes = list(pages)
    few, many = sizes[0], sizes[-1]
    steep = {
        name: slope({n: pages[n][name]["seconds"] for n in sizes})
        for name in pages[few]
    }
    flat = {
        name: value
        for name, value in steep.items()
        if name not in (*BOUNDED, "control")
    }
    worst = max(flat, key=lambda name: flat[name])
    report = Report("audit", {"database": kind, "sizes": sizes, "rounds": rounds})
    report.goals = [
        Goal(
            f"slope of log time over log events, the steepest page ({worst})",
            flat[worst],
            "<=",
            0.15,
        ),
        *(
            Goal(f"seconds for {says}", pages[many][name]["seconds"], "<=", 0.5)
            for name, says in BOUNDED.items()
        ),
        Goal("rows verified in a second", rate(alone[many]["verify"]), ">=", 100_000),
        Goal(
            "events that verifying objects to",
            len(alone[many]["verify"]["bad"]),
            "<=",
            0,
        ),
        *(
            Goal(
                f"MB more memory for {many} than for {few}, {name}",
                grown(alone, name),
                "<=",
                10,
            )
            for name in ALONE
        ),
    ]
    report.control = "a word anywhere in three columns, and how many there are"
    report.controls = [Goal("slope of its log time", steep["control"], "<=", 0.15)]
    report.figures = {
        "milliseconds": {
            str(n): {name: ms(one["seconds"]) for name, one in pages[n].items()}
            for n in sizes
        },
        "rows": {name: one["rows"] for name, one in pages[many].items()},
        "slopes": {name: round(value, 3) for name, value in steep.items()},
        "alone": {str(n): alone[n] for n in sizes},
    }
    report.table = [["page, ms", *map(str, sizes), "slope"]]
    report.table += [
        [
            name,
            *(f"{ms(pages[n][name]['seconds']):.1f}" for n in sizes),
            f"{steep[name]:.3f}",
        ]
        for name in steep
    ]
    report.notes = [
        f"{name}: {rate(alone[many][name]):,.0f} rows/s, {alone[many][name]['peak'] / MEGABYTE:.0f} MB"
        for name in ALONE
    ]
    return report


def rate(one: dict[str, Any]) -> float:
    return float(one["rows"] / one["seconds"])


def grown(alone: Figures, name: str) -> float:
    sizes = list(alone)
    return (
        float(alone[sizes[-1]][name]["peak"] - alone[sizes[0]][name]["peak"]) / MEGABYTE
    )


def ms(seconds: float) -> float:
    return round(1000 * seconds, 2)
