"""Sends the chunks of operations, several at once, and has what came of each recorded.

The order is the promise: a claim commits that a chunk is sent, then the call is made, then its result is
recorded. A crash in between leaves the chunk `sent` with a lease that runs out, and recovery takes it from
there. Only one thread of a process, the caller's, writes; the senders make calls and nothing else.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from django.conf import settings
from django.db import DatabaseError, OperationalError, close_old_connections

from iotda_admin.iotda import Client, IotdaError, Unreachable
from iotda_admin.operations.audit_log import audited_transaction
from iotda_admin.operations.error_codes import SENDER_LOST
from iotda_admin.operations.execution.error_policy import ErrorAction, classify
from iotda_admin.operations.execution.leases import (
    HEARTBEAT_SECONDS,
    LeasedChunk,
    Schedule,
    heartbeat,
    lease_chunk,
)
from iotda_admin.operations.execution.result_writer import ChunkResult, write_results
from iotda_admin.operations.models import Chunk

log = logging.getLogger(__name__)

# A process that is told to stop gives its calls so long to be answered; the rest is read back later.
SHUTDOWN_SECONDS = 6.0
# Results that come back within so many seconds are written together.
GROUP_SECONDS = 0.02


def execute_chunk(chunk: Chunk, client: Client) -> None:
    """Send one chunk here and now, unless another process has it, and record what came of it."""
    leased = lease_chunk(chunk)
    if leased:
        execute_leased_chunk(leased, client)


def execute_leased_chunk(leased: LeasedChunk, client: Client) -> None:
    write_results([send_request(leased, client)], inline=True)


class LeaseExpired(IotdaError):
    """This process stood still for too long: somebody else may be settling its chunk by now."""


def send_request(sending: LeasedChunk, client: Client) -> ChunkResult:
    def check() -> None:
        # Before each request anew: it may have been read long ago, or waited for its turn.
        if time.monotonic() > sending.valid_until - settings.IOTDA_DEADLINE:
            raise LeaseExpired("The lease is over.")

    try:
        return ChunkResult(
            sending, answer=sending.verb.send(client.checking(check), sending.request)
        )
    except LeaseExpired:
        return ChunkResult(sending)
    except IotdaError as error:
        return ChunkResult(sending, error=error)
    except Exception:
        # A fault of ours says nothing of what the platform did.
        log.exception("%s failed", sending.chunk)
        return ChunkResult(
            sending, error=Unreachable("This program failed.", maybe_applied=True)
        )


def stops_operation(result: ChunkResult) -> bool:
    """Whether the rest of the operation would meet the same: as it is going to be recorded."""
    sending, error = result.sending, result.error
    return (
        error is not None
        and classify(error, sending.verb, len(sending.request.ids)) is ErrorAction.STOP
    )


def execute_due_chunks(
    client: Client,
    enough: Callable[[], bool] = lambda: False,
    hurried: Callable[[], bool] = lambda: False,
) -> None:
    """Work until nothing is due in any operation, or until it is `enough`. Any number of processes may.

    hurried: whether this process is going to end, and cannot wait for the calls under way.
    """
    crew = WorkerPool(client, settings.IOTDA_IN_FLIGHT)
    try:
        crew.work(enough)
        crew.finish(hurried)
    finally:
        crew.leave()


class WorkerPool:
    """Threads that send, and the one writer who gives them work and records what they bring back."""

    def __init__(self, client: Client, size: int) -> None:
        self.client = client
        # As many again are claimed ahead, so that no sender waits for the writer.
        self.size, self.hands = size, 2 * size
        self.orders: queue.SimpleQueue[LeasedChunk | None] = queue.SimpleQueue()
        self.results: queue.SimpleQueue[ChunkResult] = queue.SimpleQueue()
        self.flying: dict[int, LeasedChunk] = {}
        # Operations that met a refusal which the rest would meet as well.
        self.refused: set[int] = set()
        self.threads: list[threading.Thread] = []
        self.agenda = Schedule()
        self.next_beat = time.monotonic() + HEARTBEAT_SECONDS

    def send(self, sendings: Iterable[LeasedChunk]) -> None:
        for sending in sendings:
            self.flying[sending.chunk.pk] = sending
            self.orders.put(sending)
        while len(self.threads) < min(self.size, len(self.flying)):
            # Daemons: a call without an answer must not keep a stopped process alive.
            self.threads.append(
                threading.Thread(target=self.serve, daemon=True, name="sender")
            )
            self.threads[-1].start()

    def serve(self) -> None:
        while sending := self.orders.get():
            if sending.operation.pk in self.refused:
                self.results.put(ChunkResult(sending))
                continue
            result = send_request(sending, self.client)
            if stops_operation(result):
                self.refused.add(sending.operation.pk)
            self.results.put(result)

    def work(self, enough: Callable[[], bool]) -> None:
        done: list[ChunkResult] = []
        while True:
            stopping = enough()
            self.send(
                self.write(
                    done, 0 if stopping else self.hands - len(self.flying) + len(done)
                )
            )
            if stopping or not self.flying:
                return
            done = self.collect(HEARTBEAT_SECONDS)

    def collect(self, seconds: float) -> list[ChunkResult]:
        """What has come back, at least one if that can be waited for. While the senders have more to do, a
        little longer, so that one transaction writes more."""
        found: list[ChunkResult] = []
        try:
            found.append(self.results.get(timeout=seconds))
            until = time.monotonic() + GROUP_SECONDS
            while len(found) < self.size:
                left = until - time.monotonic() if self.orders.qsize() > 1 else 0
                found.append(self.results.get(block=left > 0, timeout=max(left, 0)))
        except queue.Empty:
            pass
        return found

    def write(self, done: list[ChunkResult], room: int) -> list[LeasedChunk]:
        """Record what is done and claim as much anew, in one transaction."""
        if any(result.error for result in done):
            # Its operation may have to wait or may have been stopped.
            self.agenda.fresh_until = 0.0
        while True:
            try:
                with audited_transaction(durable=True):
                    write_results(done, busy=self.busy(done))
                    claimed = self.agenda.claim(room, apart_from=self.refused)
                    self.keep_alive()
            except OperationalError as error:
                # Locked or full: what came back is kept in mind, and its leases will tell if we die.
                log.warning(
                    "the outcomes of %d calls wait for the database: %s",
                    len(done),
                    error,
                )
                close_old_connections()
                time.sleep(1)
            except (DatabaseError, ValueError, TypeError):
                if not done:
                    raise
                self.write_one_by_one(done)
                done = []
            else:
                for result in done:
                    self.flying.pop(result.sending.chunk.pk, None)
                self.forget_refusals()
                return claimed

    def forget_refusals(self) -> None:
        """Once all of an operation is back, a refusal that was recorded has stopped it. One that came too
        late to be recorded has not, and whoever claims of it again sees for themselves."""
        under_way = {sending.operation.pk for sending in self.flying.values()}
        self.refused.difference_update(self.refused - under_way)

    def busy(self, done: Sequence[ChunkResult]) -> set[int]:
        back = {result.sending.chunk.pk for result in done}
        return {
            sending.operation.pk
            for pk, sending in self.flying.items()
            if pk not in back
        }

    def write_one_by_one(self, done: list[ChunkResult]) -> None:
        """One result that cannot be written must not hold back the others; its lease runs out."""
        for result in done:
            self.flying.pop(result.sending.chunk.pk, None)
            try:
                write_results([result])
            except Exception:
                log.exception(
                    "%s: what came back cannot be recorded", result.sending.chunk
                )

    def keep_alive(self) -> None:
        if self.flying and time.monotonic() > self.next_beat:
            heartbeat(list(self.flying.values()))
            self.next_beat = time.monotonic() + HEARTBEAT_SECONDS

    def finish(self, hurried: Callable[[], bool]) -> None:
        """In a process that lives on, a call given up could leave after it was looked what became of it."""
        self.hand_back()
        while self.flying and not hurried():
            self.write(self.collect(HEARTBEAT_SECONDS), 0)

    def hand_back(self) -> None:
        """What was not begun. Recorded like any result, so that nothing of an operation that was cancelled
        meanwhile is left waiting."""
        idle: list[ChunkResult] = []
        try:
            while sending := self.orders.get_nowait():
                idle.append(ChunkResult(sending))
        except queue.Empty:
            pass
        if idle:
            self.write(idle, 0)

    def leave(self) -> None:
        """Hand back what was not begun, wait a little for what was, and dismiss the senders."""
        self.hand_back()
        for _thread in self.threads:
            self.orders.put(None)
        until = time.monotonic() + SHUTDOWN_SECONDS
        while self.flying and (left := until - time.monotonic()) > 0:
            self.write(self.collect(left), 0)
        if not self.flying:
            return
        message = "This process was stopped before the answer came."
        unanswered = Unreachable(message, code=SENDER_LOST, maybe_applied=True)
        self.write(
            [
                ChunkResult(sending, error=unanswered)
                for sending in self.flying.values()
            ],
            0,
        )
