"""Send an operation in the foreground and show its progress."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Self

from django.core.management.base import OutputWrapper
from django.utils import timezone

from iotda_admin.iotda import Client
from iotda_admin.operations.counts import State, target_counts
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

type Show = Callable[[Operation, dict[str, int], Progress], None]


def follow(
    operation: Operation,
    client: Client,
    patience: float,
    *,
    show: Show,
    interrupted: Callable[[], bool],
) -> None:
    """Wait until it ends, is interrupted, or makes no progress for too long."""
    watch = Watch(operation, patience, show, interrupted)
    while not watch.over():
        work(operation, client, watch)
        watch.look()
        if not watch.ended:
            time.sleep(PAUSE_SECONDS)


def work(operation: Operation, client: Client, watch: "Watch") -> None:
    """Do a worker's job in this process, with or without a worker beside it."""
    execute_due_chunks(
        client, lambda: watch.over() or not watch.pending, hurried=watch.interrupted
    )
    reconciliation.expire_leases()
    if not watch.over():
        reconciliation.reconcile_operation(operation.pk, client)
        batch_tasks.poll_due_tasks(client, operation.pk)


class Watch:
    """Reads the rows at intervals, however often it is called."""

    def __init__(
        self,
        operation: Operation,
        patience: float,
        show: Show,
        interrupted: Callable[[], bool],
    ) -> None:
        self.operation, self.patience, self.show, self.interrupted = (
            operation,
            patience,
            show,
            interrupted,
        )
        self.counts: dict[str, int] = {}
        self.done = 0
        self.looked = self.moved = float("-inf")
        self.ended = False

    def over(self) -> bool:
        if time.monotonic() - self.looked > LOOK_SECONDS:
            self.look()
        return (
            self.ended or self.interrupted() or self.looked - self.moved > self.patience
        )

    def look(self) -> None:
        self.looked = time.monotonic()
        counts = target_counts(self.operation)
        waiting = counts.get(State.PENDING, 0) + counts.get(State.SENT, 0)
        progress = operation_progress(self.operation, sum(counts.values()), waiting)
        if (counts, progress.done) != (self.counts, self.done):
            self.counts, self.done, self.moved = counts, progress.done, self.looked
        self.show(self.operation, counts, progress)
        self.ended = not Operation.objects.filter(
            pk=self.operation.pk, finished_at=None
        ).exists()

    @property
    def pending(self) -> int:
        return self.counts.get(State.PENDING, 0)


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
        before = {number: signal.getsignal(number) for number in self.SIGNALS}
        self.before = {
            number: how for number, how in before.items() if how is not signal.SIG_IGN
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

    def show(
        self, operation: Operation, counts: dict[str, int], progress: Progress
    ) -> None:
        total = sum(counts.values())
        done = progress.done - counts.get(State.UNKNOWN, 0)
        line = f"{operation} [{'#' * (BAR * done // total):-<{BAR}}] {done:,}/{total:,}"
        trouble = [
            f"{counts[state]:,} {state}"
            for state in (State.FAILED, State.UNKNOWN)
            if state in counts
        ]
        self.draw(
            ", ".join([line, *waits(progress), *trouble])[
                : shutil.get_terminal_size().columns - 1
            ]
        )

    def close(self) -> None:
        self.draw("")

    def draw(self, line: str) -> None:
        if self.terminal:
            self.stream.write(f"\r{line}\x1b[K", str, ending="")
            self.stream.flush()


def waits(progress: Progress) -> list[str]:
    if progress.held_until:
        left = format_duration(
            max(1.0, (progress.held_until - timezone.now()).total_seconds())
        )
        return [
            f"IoTDA cannot be reached: again in {left}"
            if progress.unreached
            else f"IoTDA asks to wait {left}"
        ]
    return [f"about {progress.wait} left"] if progress.wait else []
