"""An operation is worked off in the foreground, and whoever waits for it sees how far it is."""

import shutil
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from django.core.management.base import OutputWrapper

from iotda_admin.iotda import Client
from iotda_admin.operations import recovery
from iotda_admin.operations.models import Operation
from iotda_admin.operations.results import State, counts_of
from iotda_admin.operations.runner import drive

LOOK_SECONDS = 0.5
PAUSE_SECONDS = 0.2
OPEN = (State.PENDING, State.SENT, State.UNKNOWN)
BAR = 30

type Show = Callable[[Operation, dict[str, int]], None]


def follow(
    operation: Operation, client: Client, patience: float, *, show: Show, interrupted: Callable[[], bool]
) -> None:
    """Until it has ended, or is interrupted, or nothing has moved for as long as there is patience."""
    watch = Watch(operation, patience, show, interrupted)
    while not watch.over():
        work(operation, client, watch)
        watch.look()
        if not watch.ended:
            time.sleep(PAUSE_SECONDS)


def work(operation: Operation, client: Client, watch: "Watch") -> None:
    """What a worker does, in this process: it needs none, and does not mind one."""
    drive(client, lambda: watch.over() or not watch.pending)
    recovery.give_up_leases()
    if not watch.over():
        recovery.read_back(operation.pk, client)


class Watch:
    """Looks at the rows now and then, however often it is asked."""

    def __init__(
        self, operation: Operation, patience: float, show: Show, interrupted: Callable[[], bool]
    ) -> None:
        self.operation, self.patience, self.show, self.interrupted = operation, patience, show, interrupted
        self.counts: dict[str, int] = {}
        self.looked = self.moved = float("-inf")
        self.ended = False

    def over(self) -> bool:
        if time.monotonic() - self.looked > LOOK_SECONDS:
            self.look()
        return self.ended or self.interrupted() or self.looked - self.moved > self.patience

    def look(self) -> None:
        self.looked = time.monotonic()
        counts = counts_of(self.operation)
        if counts != self.counts:
            self.counts, self.moved = counts, self.looked
        self.show(self.operation, counts)
        self.ended = not Operation.objects.filter(pk=self.operation.pk, finished_at=None).exists()

    @property
    def pending(self) -> int:
        return self.counts.get(State.PENDING, 0)


class Interruption:
    """Ctrl-C and what else tells a process to end. Before anything is recorded it ends at once; after that
    the call under way is waited for, unless it is told again."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, stderr: OutputWrapper) -> None:
        self.stderr, self.signal, self.patient = stderr, 0, False

    def __enter__(self) -> Self:
        # Who ignores one, as nohup does, wants it ignored.
        before = {number: signal.getsignal(number) for number in self.SIGNALS}
        self.before = {number: how for number, how in before.items() if how is not signal.SIG_IGN}
        for number in self.before:
            signal.signal(number, self.interrupt)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, how in self.before.items():
            signal.signal(number, how)

    def interrupt(self, number: int, _frame: FrameType | None) -> None:
        again, self.signal = self.happened(), number
        if again or not self.patient:
            raise KeyboardInterrupt
        self.stderr.write("\nWaiting for the call under way. Again to leave at once.", str)

    def happened(self) -> bool:
        return self.signal != 0

    @property
    def status(self) -> int:
        return 128 + self.signal if self.signal else 0


class Bar:
    """One line on a terminal, drawn over itself; nothing where there is no terminal."""

    def __init__(self, stream: OutputWrapper) -> None:
        self.stream, self.terminal = stream, stream.isatty()

    def show(self, operation: Operation, counts: dict[str, int]) -> None:
        total = sum(counts.values())
        answered = total - sum(counts.get(state, 0) for state in OPEN)
        filled = "#" * (BAR * answered // total)
        trouble = [f", {counts[state]} {state}" for state in (State.FAILED, State.UNKNOWN) if state in counts]
        line = f"{operation} [{filled:-<{BAR}}] {answered:,}/{total:,}{''.join(trouble)}"
        self.draw(line[: shutil.get_terminal_size().columns - 1])

    def close(self) -> None:
        self.draw("")

    def draw(self, line: str) -> None:
        if self.terminal:
            self.stream.write(f"\r{line}\x1b[K", str, ending="")
            self.stream.flush()
