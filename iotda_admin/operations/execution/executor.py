"""Sends the chunks of operations, several at once, and has the results recorded.

The order is what makes a crash safe: lease a chunk and commit it as sent, make the
call, record the result. A crash in between leaves the chunk `sent` with a lease that
expires, and reconciliation continues from there. One thread of a process, the
caller's, writes to the database; the sender threads only make calls.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable

from django.conf import settings
from django.db import DatabaseError, OperationalError, close_old_connections

from iotda_admin.iotda import Client, IotdaError, Unreachable
from iotda_admin.operations.audit_log import audited_transaction
from iotda_admin.operations.error_codes import SENDER_LOST
from iotda_admin.operations.execution.error_policy import ErrorAction
from iotda_admin.operations.execution.held_work import hold_old_work
from iotda_admin.operations.execution.leases import (
    HEARTBEAT_SECONDS,
    LeasedChunk,
    Schedule,
    heartbeat,
    lease_chunk,
)
from iotda_admin.operations.execution.result_writer import ChunkResult, write_results
from iotda_admin.operations.models import Chunk, Operation
from iotda_admin.rate import own_connection
from iotda_admin.rate.own_connection import StoreUnavailable

log = logging.getLogger(__name__)

# How long a stopping process waits for its calls; later answers are read back instead.
SHUTDOWN_SECONDS = 6.0
# Results that arrive within this time are written in one transaction.
GROUP_SECONDS = 0.05
# What the senders need in this time is leased in advance, but not more chunks than this:
# other operations wait for them, and they are read back if this process dies.
AHEAD_SECONDS = 0.5
MOST_AHEAD = 100
# What they have not used up by then was too much: IoTDA has become slower.
SLOW_SECONDS = 4 * AHEAD_SECONDS
HALTED = "SELECT 1 FROM operations_operation WHERE id = %(id)s AND state <> 'running'"


# Returns whether this process is to stop.
type StopCheck = Callable[[], bool]


def execute_chunk(chunk: Chunk, client: Client) -> None:
    """Send one chunk in this thread and record its result, unless another process has it."""
    if leased := lease_chunk(chunk):
        execute_leased_chunk(leased, client)


def execute_leased_chunk(leased: LeasedChunk, client: Client) -> None:
    """Send a leased chunk in this thread and record its result."""
    write_results([send_request(leased, client)], inline=True)


class NotToBeSent(IotdaError):
    """Raised before a request that must not be made any more."""


def send_request(
    leased: LeasedChunk,
    client: Client,
    is_halted: Callable[[Operation], bool] = lambda _operation: False,
) -> ChunkResult:
    """Make the write request of a leased chunk; needs no database."""

    def check(write: bool) -> None:
        # Before each request: reads and the rate limit may have taken long.
        if time.monotonic() > leased.valid_until - settings.IOTDA_DEADLINE:
            raise NotToBeSent("The lease has expired.")
        if write and is_halted(leased.operation):
            raise NotToBeSent("The operation was paused, stopped or cancelled.")

    try:
        answer = leased.verb.send(client.checking(check), leased.request)
    except NotToBeSent:
        return ChunkResult(leased)
    except IotdaError as error:
        return ChunkResult(leased, error=error)
    except Exception:
        # A bug of this program does not tell whether IoTDA applied the change.
        log.exception("%s failed", leased.chunk)
        bug = Unreachable("This program failed.", maybe_applied=True)
        return ChunkResult(leased, error=bug)
    return ChunkResult(leased, answer=answer)


def execute_due_chunks(
    client: Client,
    should_stop: StopCheck = lambda: False,
    hurried: StopCheck = lambda: False,
) -> None:
    """Send the due chunks of all operations until none is due or `should_stop`.

    Any number of processes may do this at the same time. `hurried` tells that this
    process is about to exit and cannot wait for the calls in flight.
    """
    pool = WorkerPool(client, settings.IOTDA_IN_FLIGHT)
    try:
        pool.run(should_stop)
        pool.drain(hurried)
    finally:
        pool.shut_down()


class WorkerPool:
    """Sender threads, and the one writer that leases chunks for them and records results."""

    def __init__(self, client: Client, size: int) -> None:
        self.client = client
        self.size = self.ahead = size
        # How many results came since chunks were leased.
        self.done, self.leased_at = 0, time.monotonic()
        self.to_send = queue.SimpleQueue[LeasedChunk | None]()
        self.results = queue.SimpleQueue[ChunkResult]()
        self.in_flight: dict[int, LeasedChunk] = {}
        # Operations with an answer that the rest would get as well, until all of their
        # calls have ended.
        self.stopped: set[int] = set()
        # Their last refusals: what all targets were answered, and how often in a row.
        self.refusals: dict[int, tuple[str, int]] = {}
        self.threads: list[threading.Thread] = []
        self.schedule = Schedule()
        self.next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS

    def enqueue(self, leased_chunks: Iterable[LeasedChunk]) -> None:
        for leased in leased_chunks:
            self.in_flight[leased.chunk.pk] = leased
            self.to_send.put(leased)
        while len(self.threads) < min(self.size, len(self.in_flight)):
            # Daemons: an unanswered call must not keep a stopped process alive.
            thread = threading.Thread(
                target=self.run_sender, daemon=True, name="sender"
            )
            self.threads.append(thread)
            thread.start()

    def run_sender(self) -> None:
        while leased := self.to_send.get():
            if leased.operation.pk in self.stopped:
                self.results.put(ChunkResult(leased))
                continue
            result = send_request(leased, self.client, self.is_halted)
            if self.ends_sending(result):
                self.stopped.add(leased.operation.pk)
            self.results.put(result)

    def ends_sending(self, result: ChunkResult) -> bool:
        """Return whether recording this result stops or pauses the operation, or lets it
        wait: what is leased of it in advance is then not sent.
        """
        operation, refusal = result.leased.operation, result.refusal
        code = refusal and (refusal.code or refusal.message)
        if not code or code in operation.accepted_refusals:
            self.refusals.pop(operation.pk, None)
            return result.action in (ErrorAction.STOP, ErrorAction.WAIT)
        before, count = self.refusals.get(operation.pk, (code, 0))
        count = count + 1 if code == before else 1
        self.refusals[operation.pk] = code, count
        return count == settings.PAUSE_AFTER_REFUSALS

    def is_halted(self, operation: Operation) -> bool:
        """Read whether another process has paused, stopped or cancelled an operation.

        Its chunks are leased in advance, and senders use no connection of Django's.
        """
        try:
            halted = own_connection.execute(HALTED, {"id": operation.pk}) is not None
        except StoreUnavailable as error:
            # As when it was leased: while the database is away, nobody can pause it.
            log.warning("cannot read the state of %s: %s", operation, error)
            return False
        if halted:
            self.stopped.add(operation.pk)
        return halted

    def run(self, should_stop: StopCheck) -> None:
        results: list[ChunkResult] = []
        while True:
            stopping = should_stop()
            room = 0 if stopping else self.room(len(results))
            self.enqueue(self.write_and_lease(results, room))
            if stopping or not self.in_flight:
                return
            results = self.collect(HEARTBEAT_SECONDS)

    def room(self, done: int) -> int:
        """Return how many chunks to lease, so that no sender waits for the writer.

        It is 0 while enough are left: many at once cost little more than one. If these
        are far too many at the present rate, the others are returned.
        """
        self.done += done
        left = len(self.in_flight) - done
        now = time.monotonic()
        enough = left > self.size + self.ahead // 2
        if enough and now - self.leased_at < SLOW_SECONDS:
            return 0
        needed = round(AHEAD_SECONDS * self.done / max(now - self.leased_at, 0.001))
        self.ahead = max(self.size, min(needed, MOST_AHEAD))
        self.done, self.leased_at = 0, now
        if enough:
            self.requeue_unstarted(keep=self.ahead)
            return 0
        return self.size + self.ahead - left

    def collect(self, seconds: float) -> list[ChunkResult]:
        """Wait for a result, and for a few more while the senders are busy.

        More results in one transaction make the writer faster.
        """
        found: list[ChunkResult] = []
        try:
            found.append(self.results.get(timeout=seconds))
            until = time.monotonic() + GROUP_SECONDS
            while len(found) < MOST_AHEAD:
                busy = self.to_send.qsize() >= self.size and not found[-1].error
                left = until - time.monotonic() if busy else 0
                found.append(self.results.get(block=left > 0, timeout=max(left, 0)))
        except queue.Empty:
            pass
        return found

    def write_and_lease(
        self, results: list[ChunkResult], room: int
    ) -> list[LeasedChunk]:
        """Record the results and lease up to `room` chunks, in one transaction."""
        for result in results:
            self.in_flight.pop(result.leased.chunk.pk, None)
        if any(result.failed or not result.answer for result in results):
            # The operation may have to wait now, or may be stopped or paused.
            self.schedule.expires_at = 0.0
        while True:
            try:
                if room and self.schedule.expired:
                    hold_old_work()
                with audited_transaction(durable=True):
                    halted = write_results(results, busy=self.busy_operations())
                    # A stopped operation with nothing in flight here is recorded as such,
                    # unless its answer came too late: then the next call gets it again.
                    self.stopped |= halted
                    self.stopped &= self.busy_operations()
                    leased = self.schedule.lease(room, exclude=self.stopped)
                    self.extend_leases()
            except OperationalError as error:
                # Locked or full: keep the results in memory; if we die, the leases expire.
                log.warning("%d results wait for the database: %s", len(results), error)
                close_old_connections()
                # It may come back restored from a backup.
                self.schedule.expires_at = 0.0
                time.sleep(1)
            except (DatabaseError, ValueError, TypeError):
                if not results:
                    raise
                self.write_one_by_one(results)
                results = []
            else:
                return leased

    def busy_operations(self) -> set[int]:
        return {leased.operation.pk for leased in self.in_flight.values()}

    def write_one_by_one(self, results: list[ChunkResult]) -> None:
        """Write each result in its own transaction; the lease of one that fails expires."""
        for result in results:
            try:
                write_results([result])
            except Exception:
                log.exception("%s: cannot record the result", result.leased.chunk)

    def extend_leases(self) -> None:
        if self.in_flight and time.monotonic() > self.next_heartbeat:
            heartbeat(list(self.in_flight.values()))
            self.next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS

    def drain(self, hurried: StopCheck) -> None:
        """Wait for all calls in flight.

        In a process that lives on, an abandoned call could still be sent after its
        chunk was read back.
        """
        self.requeue_unstarted()
        while self.in_flight and not hurried():
            self.write_and_lease(self.collect(HEARTBEAT_SECONDS), 0)

    def requeue_unstarted(self, keep: int = 0) -> None:
        """Return the chunks that no sender has started, but for the first ones.

        They are recorded like results, so that those of an operation that was
        cancelled meanwhile are cancelled as well.
        """
        unstarted: list[LeasedChunk] = []
        try:
            while leased := self.to_send.get_nowait():
                unstarted.append(leased)
        except queue.Empty:
            pass
        for leased in unstarted[:keep]:
            self.to_send.put(leased)
        if surplus := unstarted[keep:]:
            self.write_and_lease([ChunkResult(leased) for leased in surplus], 0)

    def shut_down(self) -> None:
        """Requeue what is not started, wait briefly for the rest, and end the senders."""
        self.requeue_unstarted()
        for _thread in self.threads:
            self.to_send.put(None)
        until = time.monotonic() + SHUTDOWN_SECONDS
        while self.in_flight and (left := until - time.monotonic()) > 0:
            self.write_and_lease(self.collect(left), 0)
        if not self.in_flight:
            return
        message = "This process was stopped before the answer came."
        unanswered = Unreachable(message, code=SENDER_LOST, maybe_applied=True)
        lost = self.in_flight.values()
        self.write_and_lease([ChunkResult(each, error=unanswered) for each in lost], 0)
