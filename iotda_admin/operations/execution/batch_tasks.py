"""Batch tasks: what the platform works through by itself is followed until each target has its own outcome.

A chunk that goes by a task is `followed` from the moment its id is known. Where the answer to the creation
was lost, the task is looked for by its name: it is never made again while it may exist.
"""

import logging
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from iotda_admin.core.bulk_sql import values_subquery
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
from iotda_admin.operations.execution.batch_task_rows import (
    TaskOutcomes,
    parse_task_rows,
)
from iotda_admin.operations.execution.lifecycle import (
    finish_operation,
    lock_operation,
    skip_pending,
)
from iotda_admin.operations.execution.reconciliation import (
    READER_LEASE_SECONDS,
    RETRY_SECONDS,
    ReadBack,
)
from iotda_admin.operations.execution.reconciliation import (
    chunks_to_read_back as unanswered,
)
from iotda_admin.operations.execution.result_writer import (
    TASK_POLL_SECONDS,
    OutcomeBuffer,
    mark_already,
    regroup_targets,
)
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.verbs import State, TargetOutcome, Verb, get_verb, task_name
from iotda_admin.rate.connection import client as configured_client
from iotda_admin.rate.retries import retrying

log = logging.getLogger(__name__)

# From one look at a task to the next a tenth of its age goes by, within FOLLOW_SECONDS and this.
MAX_POLL_SECONDS = 60.0
# So often the rows of a finished task are read that cannot be read, or that show targets as not ended.
ROW_READS = 3
# Targets settled in one transaction: a reader of 30,000 must not keep the others from writing.
TARGETS_PER_TRANSACTION = 1000
# Targets that share a chunk once the task cannot tell of them any more.
TARGETS_PER_READ = 20
# The two clocks may differ so much.
CLOCK_SKEW = timedelta(hours=1)


def poll_due_tasks(
    client: Client | None = None, operation_id: int | None = None
) -> None:
    """Run again and again by the worker: look at all tasks whose time has come, or one operation's."""
    of_whom = Q(operation=operation_id) if operation_id else Q()
    lost = unanswered(by_task=True).filter(of_whom)
    for pk in dict.fromkeys(lost.values_list("operation", flat=True)):
        find_lost_tasks(pk, client or configured_client())
    followed = Chunk.objects.filter(
        of_whom, state=Chunk.State.FOLLOWED, due_at__lte=timezone.now()
    )
    for pk in list(followed.order_by("due_at").values_list("pk", flat=True)):
        poll_task(pk, client or configured_client())


def find_lost_tasks(operation_id: int, client: Client) -> None:
    """Nobody knows whether the platform has taken these chunks on: if it has, it knows their names."""
    operation = Operation.objects.get(pk=operation_id)
    reading = ReadBack(operation, by_task=True)
    if not reading.take(RUNNING_TASK_LIMIT):
        return
    chunks = {task_name(operation, chunk.number): chunk for chunk in reading.mine()}
    try:
        found = find_tasks_by_name(client, get_verb(operation.verb), chunks)
    except IotdaError as error:
        again = timezone.now() + timedelta(seconds=RETRY_SECONDS)
        reading.mine().update(due_at=again, error_message=error.message[:512])
        return
    with transaction.atomic():
        lock_operation(operation_id)
        for chunk in reading.mine().select_for_update():
            if task_id := found.get(task_name(operation, chunk.number)):
                adopt_task(chunk, task_id)
    # What is not adopted was not applied, if the next look says the same.
    reading.record(dict.fromkeys(reading.ids(), False))


def find_tasks_by_name(
    client: Client, verb: Verb, chunks: Mapping[str, Chunk]
) -> dict[str, str]:
    """The ids of the tasks of these names. The list is newest first: what was made before ends the search."""
    assert verb.task_type
    task_type, found = verb.task_type, {}
    since = (
        min(chunk.sent_at or timezone.now() for chunk in chunks.values()) - CLOCK_SKEW
    )
    for task in walk(lambda page: client.list_batch_tasks(task_type, page)):
        if task.task_name in chunks:
            found[task.task_name] = task.task_id
        if (
            len(found) == len(chunks)
            or "" < task.create_time < f"{since:%Y%m%dT%H%M%SZ}"
        ):
            break
    return found


def adopt_task(chunk: Chunk, task_id: str) -> None:
    """It was taken on after all. Its targets are in flight again, but for those that somebody else has
    begun to change since they were unknown."""
    Chunk.objects.filter(pk=chunk.pk).update(
        state=Chunk.State.FOLLOWED,
        task_id=task_id,
        due_at=timezone.now(),
        misses=0,
        error_code="",
        error_message="",
    )
    others = Target.objects.filter(
        target_id=OuterRef("target_id"),
        subject=OuterRef("subject"),
        state__in=Target.IN_FLIGHT,
    )
    Target.objects.filter(~Exists(others), chunk=chunk, state=State.UNKNOWN).update(
        state=State.SENT, error_code="", error_message=""
    )


def poll_task(pk: int, client: Client) -> None:
    """Look at a followed task once, unless somebody else does."""
    following = lease_task(pk)
    if following is None:
        return
    try:
        following.step(client)
    except TaskLeaseLost:
        log.warning("%s: another worker has taken over following it", following.chunk)


def lease_task(pk: int) -> "TaskPoll | None":
    with transaction.atomic():
        due = Chunk.objects.filter(
            pk=pk, state=Chunk.State.FOLLOWED, due_at__lte=timezone.now()
        )
        chunk = due.select_for_update(skip_locked=True).first()
        if chunk is None:
            return None
        chunk.token += 1
        Chunk.objects.filter(pk=pk).update(
            token=chunk.token, due_at=seconds_from_now(READER_LEASE_SECONDS)
        )
    return TaskPoll(chunk, Operation.objects.get(pk=chunk.operation_id))


class TaskLeaseLost(Exception):
    """We were silent for so long that another worker follows the task; what we say is void."""


class TaskPoll:
    """One look at a task. Until it is over, `due_at` says how long we are taken to be alive."""

    def __init__(self, chunk: Chunk, operation: Operation) -> None:
        self.chunk, self.operation = chunk, operation
        self.verb = get_verb(operation.verb)
        self.finished = False
        self.next_beat = time.monotonic() + READER_LEASE_SECONDS / 4

    def step(self, client: Client) -> None:
        try:
            self.look(client)
        except IotdaError as error:
            if error.not_found:
                # Only a finished task can be deleted. What it did is still to be seen at the devices.
                self.finish()
            else:
                self.put_off(error)

    def look(self, client: Client) -> None:
        found = client.show_batch_task(self.chunk.task_id)
        self.finished = found.task.finished
        seen = {"task_done": ended_targets(found.task.progress), "error_message": ""}
        if not self.finished:
            self.note(due_at=self.next_look(), **seen)
            return
        self.note(**seen)
        rows = self.rows(client, found)
        targets = dict(self.chunk.targets.values_list("target_id", "stood_before"))
        self.settle(parse_task_rows(found.task, rows, self.verb, targets), targets)

    def next_look(self) -> datetime:
        age = timezone.now() - (self.chunk.sent_at or timezone.now())
        return seconds_from_now(
            min(MAX_POLL_SECONDS, max(TASK_POLL_SECONDS, age.total_seconds() / 10))
        )

    def rows(self, client: Client, found: BatchTaskPage) -> list[TaskTarget]:
        def show(page: PageQuery) -> ListingPage[TaskTarget]:
            return client.show_batch_task(self.chunk.task_id, page).details

        def fetch(page: PageQuery) -> ListingPage[TaskTarget]:
            # A page that is throttled must not cost the hundreds before it.
            return (
                found.details
                if page == FIRST_PAGE
                else retrying(show, attempts=10, timeout=40.0)(page)
            )

        rows = []
        # Every row counts as one: what appears twice is for us to judge.
        for row in walk_windows(
            fetch, key=lambda row: str(id(row)), in_flight=settings.INVENTORY_IN_FLIGHT
        ):
            rows.append(row)
            self.beat()
        return rows

    def settle(
        self, told: TaskOutcomes, stood_before: Mapping[str, bool | None]
    ) -> None:
        left = self.open_targets()
        ended = [(id, verdict) for id, verdict in told.verdicts.items() if id in left]
        for some in batched(ended, TARGETS_PER_TRANSACTION):
            self.record(dict(some), stood_before)
            self.beat()
        left -= dict(ended).keys()
        if left & set(told.waiting) and self.chunk.misses + 1 < ROW_READS:
            self.note(due_at=self.next_look(), misses=self.chunk.misses + 1)
        else:
            self.finish()

    def open_targets(self) -> set[str]:
        return set(open_targets(self.chunk).values_list("target_id", flat=True))

    def record(
        self,
        verdicts: Mapping[str, TargetOutcome],
        stood_before: Mapping[str, bool | None],
    ) -> None:
        verdicts = mark_already(verdicts, stood_before)
        with audited_transaction():
            settlement = OutcomeBuffer(lock_operation(self.operation.pk))
            self.note()
            settlement.add(self.chunk, verdicts)
            settlement.write()
            names = dict(target_names(self.chunk, verdicts))
            detail = {"batch_task": self.chunk.task_id}
            record_chunk_event(
                "chunk.answered",
                self.operation,
                self.chunk,
                verdicts,
                names,
                detail=detail,
            )

    def finish(self) -> None:
        """The task tells no more. What it did not tell of is looked for at the platform, target by target."""
        with audited_transaction():
            self.leave()

    def leave(self) -> None:
        operation = lock_operation(self.operation.pk)
        self.note(state=Chunk.State.DONE, misses=0)
        if left := len(self.open_targets()):
            log.warning(
                "%s: the batch task does not tell of %d targets", self.chunk, left
            )
            leave_to_reconciliation(self.chunk)
        self.verb.inventory.batch_task_ended()
        if not operation.running:
            skip_pending(operation)
        finish_operation(operation)

    def put_off(self, error: IotdaError) -> None:
        """Before the task has finished nothing but itself can tell of it, so it is asked for ever."""
        log.warning("%s: its batch task cannot be read: %s", self.chunk, error)
        refused = isinstance(error, Rejected) and not error.retryable
        unreadable = self.finished and (refused or isinstance(error, BadResponse))
        if unreadable and self.chunk.misses + 1 >= ROW_READS:
            self.finish()
            return
        again = max(RETRY_SECONDS, error.retry_after or 0)
        misses = self.chunk.misses + unreadable
        self.note(
            due_at=seconds_from_now(again),
            misses=misses,
            error_message=error.message[:512],
        )

    def beat(self) -> None:
        if time.monotonic() > self.next_beat:
            self.note(due_at=seconds_from_now(READER_LEASE_SECONDS))
            self.next_beat = time.monotonic() + READER_LEASE_SECONDS / 4

    def note(self, **facts: Any) -> None:
        """Raises TaskLeaseLost if another worker has the task by now."""
        ours = Chunk.objects.filter(
            pk=self.chunk.pk, token=self.chunk.token, state=Chunk.State.FOLLOWED
        )
        if not ours.update(token=F("token"), **facts):
            raise TaskLeaseLost


def ended_targets(progress: TaskProgress) -> int:
    ended = progress.success + progress.fail + progress.stopped + progress.removed
    return min(max(0, ended), BATCH_TARGET_LIMIT)


def open_targets(chunk: Chunk) -> QuerySet[Target]:
    """A worker that died in the middle of settling has left some behind, and settled others."""
    return chunk.targets.filter(state__in=[State.SENT, State.UNKNOWN])


def target_names(
    chunk: Chunk, ids: Collection[str]
) -> QuerySet[Target, tuple[str, str]]:
    own = Target.objects.filter(
        operation=chunk.operation_id, target_id__in=values_subquery(list(ids))
    )
    return own.values_list("target_id", "name")


def leave_to_reconciliation(chunk: Chunk) -> None:
    """What is open of a task gets chunks of its own, and is read back like any that nobody answered for."""
    alike = Chunk(
        operation_id=chunk.operation_id,
        state=Chunk.State.UNKNOWN,
        attempts=chunk.attempts,
        sent_at=chunk.sent_at,
        answered_at=chunk.answered_at,
        http_status=chunk.http_status,
        request_id=chunk.request_id,
    )
    regroup_targets(open_targets(chunk), alike, State.UNKNOWN, TARGETS_PER_READ)


def seconds_from_now(seconds: float) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)
