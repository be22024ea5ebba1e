"""Send an operation in the foreground and show its progress."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from types import FrameType
from typing import Any, Self

from django.core.management.base import OutputWrapper
from django.utils import timezone

from iotda_admin.iotda import Client
from iotda_admin.operations.counts import Counts, State, target_counts
from iotda_admin.operations.execution import batch_tasks, reconciliation
from iotda_admin.operations.execution.executor import execute_due_chunks
from iotda_admin.operations.models import Operation
from iotda_admin.operations.web.progress import (
    Progress,
    format_duration,
    operation_progress,
)

LOOK_SECONDS = 0.5
PAUSE_SECONDS = 0.2
BAR = 20


def follow(watch: "Watch", client: Client) -> None:
    """Do a worker's job in this process, with or without a worker beside it.

    End with the operation or its pause, if interrupted, or after too long without progress.
    """
    while not watch.over():
        execute_due_chunks(
            client,
            lambda: watch.over() or State.PENDING not in watch.counts,
            hurried=watch.interrupted,
        )
        reconciliation.correct_future_times()
        reconciliation.expire_leases()
        if not watch.over():
            reconciliation.reconcile_operation(watch.operation.pk, client)
            batch_tasks.poll_due_tasks(client, watch.operation.pk)
        watch.look()
        if not watch.ended:
            time.sleep(PAUSE_SECONDS)


@dataclass
class Watch:
    """Reads the rows at intervals, however often it is called."""

    operation: Operation
    patience: float
    show: Callable[[Operation, Counts, Progress], None]
    interrupted: Callable[[], bool]
    counts: Counts = field(default_factory=dict)
    done: int = 0
    looked: float = -inf
    moved: float = -inf
    ended: bool = False

    def over(self) -> bool:
        if time.monotonic() - self.looked > LOOK_SECONDS:
            self.look()
        return (
            self.ended or self.interrupted() or self.looked - self.moved > self.patience
        )

    def look(self) -> None:
        self.looked = time.monotonic()
        counts = target_counts(self.operation)
        progress = operation_progress(self.operation, counts)
        if (counts, progress.done) != (self.counts, self.done):
            self.counts, self.done, self.moved = counts, progress.done, self.looked
        self.show(self.operation, counts, progress)
        going_on = Operation.objects.filter(pk=self.operation.pk, finished_at=None)
        self.ended = not going_on.exclude(state=Operation.State.PAUSED).exists()


class Interruption:
    """Handles Ctrl-C and other signals that end a process.

    Before anything is recorded it ends at once; later it waits for the calls under way,
    unless a second signal arrives.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.signal, self.patient = 0, False

    def __enter__(self) -> Self:
        # A signal that is ignored already, as by nohup, stays ignored.
        self.before = {
            number: how
            for number in self.SIGNALS
            if (how := signal.getsignal(number)) is not signal.SIG_IGN
        }
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
        with suppress(OSError):
            # Unbuffered: the signal may arrive while the bar is being written.
            os.write(2, b"\nWaiting a few seconds for the calls under way.\n")

    def happened(self) -> bool:
        return self.signal != 0

    @property
    def status(self) -> int:
        return 128 + self.signal if self.signal else 0


class Bar:
    """One line on a terminal, drawn over itself; nothing where there is no terminal."""

    def __init__(self, stream: OutputWrapper) -> None:
        self.stream, self.terminal = stream, stream.isatty()

    def show(self, operation: Operation, counts: Counts, progress: Progress) -> None:
        total = sum(counts.values())
        done = progress.done - counts.get(State.UNKNOWN, 0)
        line = f"{operation} [{'#' * (BAR * done // total):-<{BAR}}] {done:,}/{total:,}"
        trouble = [
            f"{counts[state]:,} {state}"
            for state in (State.FAILED, State.UNKNOWN)
            if state in counts
        ]
        columns = shutil.get_terminal_size().columns
        self.draw(", ".join([line, *waits(progress), *trouble])[: columns - 1])

    def close(self) -> None:
        self.draw("")

    def draw(self, line: str) -> None:
        if self.terminal:
            self.stream.write(f"\r{line}\x1b[K", str, ending="")
            self.stream.flush()


def waits(progress: Progress) -> list[str]:
    if not progress.waits_until:
        return [f"about {progress.wait} left"] if progress.wait else []
    left = progress.waits_until - timezone.now()
    wait = format_duration(max(1.0, left.total_seconds()))
    return [f"{progress.waits_because}: again in {wait}"]
