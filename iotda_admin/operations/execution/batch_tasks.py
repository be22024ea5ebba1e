"""Polls IoTDA's batch tasks until each target has its own outcome.

The chunk of a batch task is `followed` from the moment its task id is known. If the
answer to the creation was lost, the task is searched for by its name; it is never
created again while it may exist.
"""

import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import batched
from operator import attrgetter
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Q, QuerySet
from django.utils import timezone
from django.utils.functional import cached_property

from iotda_admin.core.bulk_sql import among
from iotda_admin.iotda import (
    BATCH_TARGET_LIMIT,
    FIRST_PAGE,
    RUNNING_TASK_LIMIT,
    BadResponse,
    BatchTaskPage,
    Client,
    IotdaError,
    ListingPage,
    PageQuery,
    Rejected,
    TaskProgress,
    TaskTarget,
    walk,
    walk_windows,
)
from iotda_admin.operations.audit_log import audited_transaction, record_chunk_event
from iotda_admin.operations.execution.batch_task_rows import parse_task_rows
from iotda_admin.operations.execution.lifecycle import (
    finish_operation,
    lock_operation,
)
from iotda_admin.operations.execution.reconciliation import (
    RETRY_SECONDS,
    ReadBack,
    ReaderLease,
    chunks_to_read_back,
    targets_of_same_subject,
)
from iotda_admin.operations.execution.result_writer import (
    TASK_POLL_SECONDS,
    OutcomeBuffer,
    mark_already,
    regroup_targets,
    seconds_from_now,
)
from iotda_admin.operations.models import Chunk, ChunkState, Operation, Target
from iotda_admin.operations.verbs import (
    Outcomes,
    State,
    StoodBefore,
    TargetOutcome,
    Verb,
    get_verb,
    task_name,
)
from iotda_admin.rate.connection import client as configured_client
from iotda_admin.rate.retries import retrying

log = logging.getLogger(__name__)

# A tenth of a task's age passes between two polls, at least TASK_POLL_SECONDS and at most this.
MAX_POLL_SECONDS = 60.0
# How often the rows of a finished task are read that are unreadable or show targets as not ended.
ROW_READS = 3
# Outcomes written in one transaction, so that 30,000 do not keep other writers waiting.
TARGETS_PER_TRANSACTION = 1000
# The size of the chunks for targets whose outcome the task does not tell.
TARGETS_PER_READ = 20
# When IoTDA created a task.
TASK_TIME = re.compile(r"20\d{6}T\d{6}Z")
# The most that IoTDA's clock and ours may differ.
CLOCK_SKEW = timedelta(hours=1)


def poll_due_tasks(
    client: Client | None = None, operation_id: int | None = None
) -> None:
    """Poll the tasks that are due, of all operations or of one. The worker runs this."""
    scope = Q(operation=operation_id) if operation_id else Q()
    lost = chunks_to_read_back(by_task=True).filter(scope)
    for pk in dict.fromkeys(lost.values_list("operation", flat=True)):
        find_lost_tasks(pk, client or configured_client())
    followed = Chunk.objects.due(ChunkState.FOLLOWED).filter(scope).order_by("due_at")
    for pk in list(followed.values_list("pk", flat=True)):
        poll_task(pk, client or configured_client())


def find_lost_tasks(operation_id: int, client: Client) -> None:
    """Search by name for tasks whose creation was not answered."""
    operation = Operation.objects.get(pk=operation_id)
    read = ReadBack(operation, by_task=True)
    if not read.lease(RUNNING_TASK_LIMIT):
        return
    chunks = {task_name(operation, chunk.number): chunk for chunk in read.own_chunks()}
    try:
        found = find_tasks_by_name(client, get_verb(operation.verb), chunks)
    except IotdaError as error:
        read.postpone(error)
        return
    with transaction.atomic():
        lock_operation(operation_id)
        for chunk in read.own_chunks().select_for_update():
            if task_id := found.get(task_name(operation, chunk.number)):
                adopt_task(chunk, task_id)
    # A task that is not found was not created, if the next read shows the same.
    read.record(dict.fromkeys(read.ids(), False))


def find_tasks_by_name(
    client: Client, verb: Verb, chunks: Mapping[str, Chunk]
) -> dict[str, str]:
    """Return the task ids by name. The list is newest first; stop at older tasks."""
    assert verb.task_type
    task_type, found = verb.task_type, {}
    # After a restored backup, a task that looks unsent may have been created.
    times = [each.sent_at or each.operation.created_at for each in chunks.values()]
    since = f"{min(times) - CLOCK_SKEW:%Y%m%dT%H%M%SZ}"
    for task in walk(lambda page: client.list_batch_tasks(task_type, page)):
        if task.task_name in chunks:
            found[task.task_name] = task.task_id
        # An odd time says nothing about the tasks after it.
        older = TASK_TIME.fullmatch(task.create_time) and task.create_time < since
        if len(found) == len(chunks) or older:
            break
    return found


def adopt_task(chunk: Chunk, task_id: str) -> None:
    """Follow a task that was found again.

    Its targets are sent again, except those that another operation is changing since
    they were unknown.
    """
    Chunk.objects.filter(pk=chunk.pk).update(
        state=ChunkState.FOLLOWED,
        task_id=task_id,
        due_at=timezone.now(),
        misses=0,
        error_code="",
        error_message="",
    )
    others = targets_of_same_subject(Q(state__in=Target.IN_FLIGHT))
    chunk.targets.filter(~Exists(others), state=State.UNKNOWN).update(
        state=State.SENT, error_code="", error_message=""
    )


def poll_task(pk: int, client: Client) -> None:
    """Poll the task of a chunk once, unless another process does."""
    poll = lease_task(pk)
    if poll is None:
        return
    try:
        poll.run(client)
    except TaskLeaseLost:
        log.warning("%s: another worker polls its batch task now", poll.chunk)


def lease_task(pk: int) -> "TaskPoll | None":
    poll = TaskPoll(Operation.objects.get(chunks=pk))
    due = Chunk.objects.due(ChunkState.FOLLOWED).filter(pk=pk)
    return poll if poll.lease_rows(due, 1) else None


class TaskLeaseLost(Exception):
    """Raised when another worker has taken the task over; our results are ignored."""


class TaskPoll(ReaderLease):
    """One poll of a batch task."""

    state = ChunkState.FOLLOWED

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.verb = get_verb(operation.verb)
        self.finished = False

    @cached_property
    def chunk(self) -> Chunk:
        """The chunk as it was after it was leased."""
        return self.operation.chunks.get(pk__in=self.tokens)

    def update(self, **columns: Any) -> None:
        """Update the chunk; raise TaskLeaseLost if another worker has it."""
        if not self.own_chunks().update(token=F("token"), **columns):
            raise TaskLeaseLost

    def run(self, client: Client) -> None:
        try:
            self.poll(client)
        except IotdaError as error:
            if error.not_found:
                # Only a finished task can be deleted. The devices show what it did.
                self.finish()
            else:
                self.postpone(error)

    def poll(self, client: Client) -> None:
        found = client.show_batch_task(self.chunk.task_id)
        own_name = task_name(self.operation, self.chunk.number)
        if found.task.task_name not in ("", own_name):
            self.search_by_name()
            return
        self.finished = found.task.finished
        self.update(task_done=ended_targets(found.task.task_progress), error_message="")
        if not self.finished:
            self.update(due_at=self.next_poll())
            return
        rows = self.fetch_rows(client, found)
        targets = dict(self.chunk.targets.values_list("target_id", "stood_before"))
        outcomes = parse_task_rows(found.task, rows, self.verb, targets)
        self.record_all(outcomes, targets)

    def search_by_name(self) -> None:
        """Search for the task again: the ID that the creation returned is another's."""
        message = f"{self.chunk.task_id} is another batch task"
        log.warning("%s: %s", self.chunk, message)
        with audited_transaction():
            lock_operation(self.operation.pk)
            open_targets(self.chunk).update(state=State.UNKNOWN, error_message=message)
            self.update(
                state=ChunkState.UNKNOWN,
                task_id="",
                due_at=timezone.now(),
                misses=0,
                error_message=message,
            )

    def next_poll(self) -> datetime:
        age = timezone.now() - (self.chunk.sent_at or timezone.now())
        wait = max(TASK_POLL_SECONDS, age.total_seconds() / 10)
        return seconds_from_now(min(MAX_POLL_SECONDS, wait))

    def fetch_rows(self, client: Client, found: BatchTaskPage) -> list[TaskTarget]:
        # A throttled page must not lose the hundreds of pages before it.
        show = retrying(client.show_batch_task, attempts=10, timeout=40.0)

        def fetch(page: PageQuery) -> ListingPage[TaskTarget]:
            first = page == FIRST_PAGE
            return (found if first else show(self.chunk.task_id, page)).details

        rows = []
        for row in walk_windows(
            fetch, key=attrgetter("target"), in_flight=settings.INVENTORY_IN_FLIGHT
        ):
            rows.append(row)
            self.heartbeat()
        if len(rows) < found.details.count:
            message = f"the task shows {len(rows)} rows of {found.details.count}"
            raise BadResponse(message, retryable=True)
        return rows

    def record_all(
        self, outcomes: Mapping[str, TargetOutcome | None], stood_before: StoodBefore
    ) -> None:
        told = self.open_ids() & outcomes.keys()
        ended = {id: found for id in told if (found := outcomes[id])}
        for group in batched(ended.items(), TARGETS_PER_TRANSACTION):
            self.record(mark_already(dict(group), stood_before))
            self.heartbeat()
        if len(ended) < len(told) and self.chunk.misses + 1 < ROW_READS:
            self.update(due_at=self.next_poll(), misses=self.chunk.misses + 1)
        else:
            self.finish()

    def open_ids(self) -> set[str]:
        return set(open_targets(self.chunk).values_list("target_id", flat=True))

    def record(self, outcomes: Outcomes) -> None:
        with audited_transaction():
            buffer = OutcomeBuffer(lock_operation(self.operation.pk))
            self.update()
            buffer.add(self.chunk, outcomes)
            buffer.write()
            # Not by chunk: each statement would read all targets of a large one.
            named = self.operation.targets.filter(among("target_id", outcomes))
            names = dict(named.values_list("target_id", "name"))
            detail = {"batch_task": self.chunk.task_id}
            record_chunk_event(
                "chunk.answered", self.chunk, outcomes, names, detail=detail
            )

    def finish(self) -> None:
        """End the chunk; read back the targets whose outcome the task did not tell."""
        with audited_transaction():
            operation = lock_operation(self.operation.pk)
            self.update(state=ChunkState.DONE, misses=0)
            if left := len(self.open_ids()):
                log.warning("%s: %d targets without outcome", self.chunk, left)
                leave_to_reconciliation(self.chunk)
            self.verb.inventory.batch_task_ended()
            finish_operation(operation)

    def postpone(self, error: IotdaError) -> None:
        """Poll again later. A running task is polled forever: only it knows its outcomes."""
        log.warning("%s: cannot read its batch task: %s", self.chunk, error)
        rejected = isinstance(error, Rejected) and not error.retryable
        unreadable = self.finished and (rejected or isinstance(error, BadResponse))
        if unreadable and self.chunk.misses + 1 >= ROW_READS:
            self.finish()
            return
        self.update(
            due_at=seconds_from_now(max(RETRY_SECONDS, error.retry_after or 0)),
            misses=self.chunk.misses + unreadable,
            error_message=error.message[:512],
        )


def ended_targets(progress: TaskProgress) -> int:
    ended = progress.success + progress.fail + progress.stopped + progress.removed
    return min(max(0, ended), BATCH_TARGET_LIMIT)


def open_targets(chunk: Chunk) -> QuerySet[Target]:
    """Return the targets without an outcome; an earlier worker may have written some."""
    return chunk.targets.filter(state__in=Target.UNDECIDED)


def leave_to_reconciliation(chunk: Chunk) -> None:
    """Move the open targets of a task to unknown chunks of their own, to be read back."""
    template = Chunk(
        operation=chunk.operation,
        state=ChunkState.UNKNOWN,
        attempts=chunk.attempts,
        sent_at=chunk.sent_at,
        answered_at=chunk.answered_at,
        http_status=chunk.http_status,
        request_id=chunk.request_id,
    )
    regroup_targets(open_targets(chunk), template, State.UNKNOWN, TARGETS_PER_READ)
