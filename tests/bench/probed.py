"""Databases of several sizes, measured in turns by processes of their own."""

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
from tests.bench.product import SETTINGS
from tests.cloud import ROOT

# By size and question.
type Answers = dict[int, dict[str, dict[str, Any]]]


class Probed:
    """A database of one size, and the module that measures it in its own process.

    The module fills it by `fill SIZE`, and answers the questions of its standard input
    by `questions`, each with a line of JSON.
    """

    def __init__(self, module: str, folder: Path, kept: Sqlite | Postgres) -> None:
        self.module, self.folder, self.kept = module, folder, kept
        self.env = os.environ | SETTINGS
        self.env |= {
            "DATA_DIR": str(folder),
            "DATABASE_URL": kept.url(folder),
            "ALLOWED_HOSTS": "testserver",
        }

    def begun(self) -> "Probed":
        self.folder.mkdir()
        for command in (["migrate", "-v0"], ["collectstatic", "-v0", "--no-input"]):
            self.process("manage.py", *command)
        return self

    def copy(self, folder: Path) -> "Probed":
        shutil.copytree(self.folder, folder)
        self.kept.copy(self.folder, folder)
        return Probed(self.module, folder, self.kept)

    def probe(self, *words: object) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.process("-m", self.module, *map(str, words))
        )
        return found

    @contextmanager
    def start_reader(self) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", self.module, "questions"]
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
def probed(module: str, kind: str, sizes: Sequence[int]) -> Iterator[dict[int, Probed]]:
    """Make a database of each size; each is the beginning of the next."""
    home, kept = Path(tempfile.mkdtemp(prefix="bench-")), database(kind)
    home.chmod(0o755)
    try:
        made: dict[int, Probed] = {}
        last: Probed | None = None
        for size in sizes:
            last = (
                last.copy(home / str(size))
                if last
                else Probed(module, home / str(size), kept).begun()
            )
            last.process("-m", module, "fill", str(size))
            made[size] = last
        yield made
    finally:
        kept.close()
        shutil.rmtree(home)


def measure_in_turns(
    made: dict[int, Probed], questions: Sequence[str], rounds: int
) -> Answers:
    """Ask each question of all sizes in turn, so that other load affects all alike."""
    with ExitStack() as stack:
        readers = {
            size: stack.enter_context(database.start_reader())
            for size, database in made.items()
        }
        samples: dict[int, Any] = {size: defaultdict(list) for size in made}
        for name in [*questions] * rounds:
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
    """Return the last answer, with the medians of its times."""
    times = samples[-1].keys() & {"seconds", "processor", "wall"}
    return samples[-1] | {name: median(one[name] for one in samples) for name in times}
