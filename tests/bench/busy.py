"""Other load, and what a command uses itself."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from time import perf_counter

# It also ends by itself if this process is gone.
SPIN = """
import os
parent = os.getppid()
while os.getppid() == parent:
    sum(range(100_000))
"""


@contextmanager
def spinning(count: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Run processes that do nothing but use a processor; end them in any case."""
    processes = []
    try:
        for _process in range(count):
            processes.append(subprocess.Popen([sys.executable, "-c", SPIN]))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


class Usage:
    """The wall and processor seconds of this process and the children that ended."""

    def __init__(self) -> None:
        self._wall, self._processor = perf_counter(), processor_seconds()

    def so_far(self) -> dict[str, float]:
        return {
            "wall": round(perf_counter() - self._wall, 2),
            "processor": round(processor_seconds() - self._processor, 2),
        }


def processor_seconds() -> float:
    used = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
