"""Writes the results of calls: many chunks in one transaction, a statement per outcome."""

import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

from django.conf import settings
from django.db.models import F, Max, QuerySet
from django.utils import timezone

from iotda_admin.core.bulk_sql import (
    among,
    insert_rows,
    update_changed_rows,
    update_rows,
    update_where,
)
from iotda_admin.iotda import IotdaError
from iotda_admin.operations.audit_log import audited_transaction, record_chunk_event
from iotda_admin.operations.error_codes import NOT_SENT, TASKS_FULL_HOURS
from iotda_admin.operations.execution.error_policy import ErrorAction, classify
from iotda_admin.operations.execution.leases import (
    OUTAGE_STRIKES,
    LeasedChunk,
    lock_still_leased,
)
from iotda_admin.operations.execution.lifecycle import (
    finish_operation,
    lock_operation,
    pause_operation,
    stop_operation,
)
from iotda_admin.operations.models import Chunk, ChunkState, Operation, Target
from iotda_admin.operations.verbs import (
    Outcomes,
    State,
    StoodBefore,
    TargetOutcome,
    VerbAnswer,
    get_verb,
)

# How often a chunk is sent that does not reach IoTDA.
MAX_ATTEMPTS = 3
# The longest pause of an operation in an outage.
MAX_OUTAGE_WAIT = 30.0
# Before the first poll of a batch task, and at least between two polls.
TASK_POLL_SECONDS = 2
# Before a batch task is sent again that IoTDA had no room for.
TASKS_FULL_SECONDS = 20
TASKS_FULL_REFUSALS = TASKS_FULL_HOURS * 3600 // TASKS_FULL_SECONDS
# What is written of an answered chunk.
ANSWERED_COLUMNS = (
    "state", "due_at", "lease_until", "answered_at",
    "http_status", "request_id", "error_code", "error_message",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """How the call for a chunk ended: an answer, an error, or neither if it was not made."""

    leased: LeasedChunk
    answer: VerbAnswer | None = None
    error: IotdaError | None = None

    @property
    def failed(self) -> bool:
        """Whether the call, or a target of it, failed."""
        outcomes = self.answer.outcomes.values() if self.answer else ()
        return self.error is not None or any(
            outcome.state == State.FAILED for outcome in outcomes
        )

    @property
    def action(self) -> ErrorAction | None:
        """What its error means; None without one."""
        leased = self.leased
        if self.error is None:
            return None
        return classify(self.error, leased.verb, leased.request)

    @property
    def refusal(self) -> TargetOutcome | None:
        """The one answer with which IoTDA refused all targets, if it did."""
        if self.answer:
            return refusal_in(self.answer.outcomes)
        if self.error and self.action is ErrorAction.FAIL:
            return TargetOutcome(State.FAILED, self.error.code, self.error.message)
        return None


def write_results(
    results: Sequence[ChunkResult], *, inline: bool = False, busy: Collection[int] = ()
) -> set[int]:
    """Write all of these results, or none; ignore chunks that were taken over.

    `busy` are operations with more chunks in flight here, which cannot have ended.
    Return the operations of which nothing more is to be sent now.
    """
    halted = set()
    by_operation = defaultdict(list)
    for result in results:
        by_operation[result.leased.operation].append(result)
    with audited_transaction():
        for leased, own in sorted(by_operation.items(), key=lambda item: item[0].pk):
            operation = lock_operation(leased.pk)
            # The spaces of an operation never change, so do not read them again.
            operation.space = leased.space
            OperationWriter(operation, inline).write(own)
            # Stopped while these were in flight: do not leave requeued chunks pending.
            if operation.pk not in busy or operation.ended_early:
                finish_operation(operation)
            if not operation.running or operation.must_wait:
                halted.add(operation.pk)
    return halted


class OperationWriter:
    """Writes results of one operation, whose row is locked."""

    def __init__(self, operation: Operation, inline: bool = False) -> None:
        self.operation, self.inline = operation, inline
        self.verb = get_verb(operation.verb)
        self.buffer = OutcomeBuffer(operation)
        # Rows of ANSWERED_COLUMNS.
        self.answered: list[tuple[Any, ...]] = []
        # The chunks for which no call was made.
        self.unsent: list[Chunk] = []
        # Code and message of an error that all further calls would meet as well.
        self.stop_reason: tuple[str, str] | None = None
        # For each call, whether IoTDA failed to answer it properly.
        self.strikes: list[bool] = []
        self.wait_until: datetime | None = None
        # For each call, the one refusal of all its targets, else None.
        self.refusals: list[TargetOutcome | None] = []

    def write(self, results: Sequence[ChunkResult]) -> None:
        own = lock_still_leased(result.leased for result in results)
        results = [each for each in results if each.leased.chunk.pk in own]
        seen = [each for result in results for each in result.leased.request.seen]
        self.verb.inventory.store(self.operation, seen)
        for result in results:
            self.write_result(result)
        if self.unsent:
            requeue_chunks(self.unsent, {}, wait=0, attempted=False)
        if self.answered:
            update_changed_rows(Chunk, ANSWERED_COLUMNS, self.answered)
        self.buffer.write()
        self.count_strikes()
        self.count_refusals()
        if self.stop_reason and not self.operation.ended_early:
            stop_operation(self.operation, *self.stop_reason)
        elif self.operation.refusals_left == 0:
            pause_operation(self.operation)

    def write_result(self, result: ChunkResult) -> None:
        leased = result.leased
        if result.answer and result.answer.task_id:
            self.write_task(leased, result.answer)
        elif result.answer:
            self.write_answer(leased, result.answer)
        elif result.error:
            self.write_error(leased, result.error)
        else:
            self.unsent.append(leased.chunk)

    def write_answer(self, leased: LeasedChunk, answer: VerbAnswer) -> None:
        unclear = TargetOutcome(State.UNKNOWN)
        outcomes = mark_already(
            {id: answer.outcomes.get(id, unclear) for id in leased.request.ids},
            leased.request.stood_before,
        )
        kind, state = "chunk.answered", ChunkState.DONE
        if any(outcome.state == State.UNKNOWN for outcome in outcomes.values()):
            kind, state = "chunk.unanswered", ChunkState.UNKNOWN
        due_at, now = first_read_back(), timezone.now()
        call = (answer.status, answer.request_id[:128], "", "", leased.chunk.pk)
        self.answered.append((str(state), due_at, None, now, *call))
        self.strikes.append(False)
        self.note_refusal(outcomes)
        self.buffer.add(leased.chunk, outcomes, whole=True)
        detail = {"status": answer.status}
        self.record_event(kind, leased, outcomes, answer.request_id, detail)

    def write_task(self, leased: LeasedChunk, answer: VerbAnswer) -> None:
        """Write that IoTDA accepted the batch task; its targets stay sent until it ends."""
        release_lease(
            leased.chunk,
            state=ChunkState.FOLLOWED,
            task_id=answer.task_id,
            due_at=seconds_from_now(TASK_POLL_SECONDS),
            misses=0,
            answered_at=timezone.now(),
            http_status=answer.status,
            request_id=answer.request_id,
            error_code="",
            error_message="",
        )
        self.strikes.append(False)
        self.refusals.append(None)
        detail = {"batch_task": answer.task_id}
        self.record_event("chunk.answered", leased, {}, answer.request_id, detail)

    def write_error(self, leased: LeasedChunk, error: IotdaError) -> None:
        action = classify(error, self.verb, leased.request)
        self.strikes.append(action in (ErrorAction.READ_BACK, ErrorAction.RETRY))
        kind, outcome = self.apply_error(action, leased.chunk, error)
        outcomes = dict.fromkeys(leased.request.ids, outcome) if outcome else {}
        if action is ErrorAction.FAIL:
            self.note_refusal(outcomes)
        self.buffer.add(leased.chunk, outcomes, whole=True)
        detail = {
            "status": error.status,
            "code": error.code,
            "message": error.message[:512],
        }
        self.record_event(kind, leased, outcomes, error.request_id, detail)

    def apply_error(
        self, action: ErrorAction, chunk: Chunk, error: IotdaError
    ) -> tuple[str, TargetOutcome | None]:
        """Requeue, split or end the chunk; return the kind of event and the outcome."""
        columns = error_columns(error)
        match action:
            case ErrorAction.READ_BACK:
                columns |= {
                    "state": ChunkState.UNKNOWN,
                    "due_at": first_read_back(),
                    "misses": 0,
                }
                release_lease(chunk, **columns)
                unknown = TargetOutcome(State.UNKNOWN, error.code, error.message)
                return "chunk.unanswered", unknown
            case ErrorAction.WAIT:
                # The rate limit would reject the operation's other calls as well.
                wait = error.retry_after or retry_delay(chunk.attempts)
                until = requeue_chunks([chunk], columns, wait, attempted=False)
                self.wait_until = max(until, self.wait_until or until)
            case ErrorAction.WAIT_FOR_TASK if chunk.misses < TASKS_FULL_REFUSALS:
                # Chunks that are no batch task need not wait.
                columns |= {"misses": chunk.misses + 1}
                requeue_chunks([chunk], columns, TASKS_FULL_SECONDS, attempted=False)
            case ErrorAction.RETRY if not self.inline and chunk.attempts < MAX_ATTEMPTS:
                requeue_chunks([chunk], columns, retry_delay(chunk.attempts))
            case ErrorAction.SPLIT:
                end_chunk(chunk, columns)
                split_chunk(chunk)
            case _:
                end_chunk(chunk, columns)
                return self.failure(action, error)
        return "chunk.not_sent", None

    def failure(
        self, action: ErrorAction, error: IotdaError
    ) -> tuple[str, TargetOutcome]:
        """Return the event and outcome of an error that ends the chunk."""
        if action == ErrorAction.STOP:
            self.stop_reason = self.stop_reason or (error.code, error.message)
        kind, code = "chunk.answered", error.code
        if action == ErrorAction.RETRY:
            kind, code = "chunk.not_sent", error.code or NOT_SENT
        return kind, TargetOutcome(State.FAILED, code, error.message)

    def record_event(
        self,
        kind: str,
        leased: LeasedChunk,
        outcomes: Outcomes,
        request_id: str,
        detail: Mapping[str, Any],
    ) -> None:
        record_chunk_event(
            kind, leased.chunk, outcomes, leased.names, upstream_id=request_id, detail=detail
        )  # fmt: skip

    def note_refusal(self, outcomes: Outcomes) -> None:
        """Note whether all targets of a call were refused with the same answer."""
        if {each.state for each in outcomes.values()} != {State.UNKNOWN}:
            self.refusals.append(refusal_in(outcomes))

    def count_refusals(self) -> None:
        """Count the equal refusals in a row.

        Not those in flight while the operation paused: its page shows why it did.
        """
        operation = self.operation
        if not operation.running:
            return
        before = operation.refusals
        for refused in self.refusals:
            if refused is None:
                operation.refusals = 0
                continue
            code, message = refused.code[:64], refused.message[:512]
            if operation.refusal != (code or message):
                operation.refusals = 0
            operation.refusal_code, operation.refusal_message = code, message
            operation.refusals += 1
        if operation.refusals or before:
            columns = ["refusals", "refusal_code", "refusal_message"]
            operation.save(update_fields=columns)

    def count_strikes(self) -> None:
        """In an outage, pause the operation: the longer, the more calls failed in a row."""
        if not self.strikes:
            return
        strikes = self.operation.strikes + len(self.strikes) if all(self.strikes) else 0
        if strikes >= OUTAGE_STRIKES:
            wait = min(MAX_OUTAGE_WAIT, 2.0 ** (strikes - OUTAGE_STRIKES + 1))
            self.wait_until = seconds_from_now(wait)
        if strikes != self.operation.strikes or self.wait_until:
            self.operation.strikes = strikes
            self.operation.waits_until = self.wait_until or self.operation.waits_until
            self.operation.save(update_fields=["strikes", "waits_until"])


class OutcomeBuffer:
    """Collects the outcomes of targets and writes them with one statement per outcome."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.whole_chunks: dict[TargetOutcome, list[int]] = defaultdict(list)
        self.single_targets: dict[TargetOutcome, list[str]] = defaultdict(list)
        # Targets that are now as the operation requested.
        self.succeeded: list[str] = []
        # Those that IoTDA refused because they were so before the operation.
        self.already: list[str] = []

    def add(self, chunk: Chunk, outcomes: Outcomes, *, whole: bool = False) -> None:
        """`whole`: these are all sent targets of the chunk."""
        different = set(outcomes.values())
        if whole and len(different) == 1:
            self.whole_chunks[different.pop()].append(chunk.pk)
        else:
            for id, outcome in outcomes.items():
                self.single_targets[outcome].append(id)
        self.succeeded += [
            id for id, outcome in outcomes.items() if outcome.state in Target.DONE
        ]
        if chunk.attempts == 1:
            self.already += [
                id
                for id, outcome in outcomes.items()
                if outcome.state == State.ALREADY and outcome.code
            ]

    def write(self) -> None:
        for outcome, chunks in self.whole_chunks.items():
            # Only sent targets: a chunk that was sent again may have left out some
            # whose outcome can no longer be known.
            update_where(
                Target, outcome_columns(outcome), chunk=chunks, state=State.SENT
            )
        for outcome, ids in self.single_targets.items():
            # Not by chunk: each statement would read all targets of a large one.
            # Never change an outcome that is already written.
            self.operation.targets.filter(
                among("target_id", ids), state__in=Target.UNDECIDED
            ).update(**outcome_columns(outcome))
        if self.succeeded:
            inventory = get_verb(self.operation.verb).inventory
            inventory.apply(self.operation, self.succeeded, self.already)


def refusal_in(outcomes: Outcomes) -> TargetOutcome | None:
    """Return one outcome if all targets were refused with the same code."""
    if len({(each.state, each.code) for each in outcomes.values()}) != 1:
        return None
    first = next(iter(outcomes.values()))
    return first if first.state == State.FAILED else None


def mark_already(outcomes: Outcomes, stood_before: StoodBefore) -> Outcomes:
    """Replace ok by already for targets that were as requested before we sent anything."""
    already = TargetOutcome(State.ALREADY)
    return {
        id: already if outcome.state == State.OK and stood_before.get(id) else outcome
        for id, outcome in outcomes.items()
    }


def outcome_columns(outcome: TargetOutcome) -> dict[str, Any]:
    return {
        "state": outcome.state,
        "error_code": outcome.code[:64],
        "error_message": outcome.message[:512],
        "settled_at": None if outcome.state == State.UNKNOWN else timezone.now(),
    }


def error_columns(error: IotdaError) -> dict[str, Any]:
    return {
        "http_status": error.status,
        "request_id": error.request_id[:128],
        "error_code": error.code[:64],
        "error_message": error.message[:512],
    }


def release_lease(chunk: Chunk, **columns: Any) -> None:
    Chunk.objects.filter(pk=chunk.pk).update(lease_until=None, **columns)


def end_chunk(chunk: Chunk, columns: Mapping[str, Any]) -> None:
    release_lease(chunk, state=ChunkState.DONE, answered_at=timezone.now(), **columns)


def seconds_from_now(seconds: float) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)


def first_read_back() -> datetime:
    """Return when to read back: an abandoned request may arrive until its deadline."""
    return seconds_from_now(settings.IOTDA_DEADLINE)


def retry_delay(attempts: int) -> float:
    """Return an exponential delay in seconds, with jitter."""
    return min(60.0, 2.0**attempts) * random.uniform(0.5, 1.0)  # noqa: S311


def requeue_chunks(
    chunks: Sequence[Chunk],
    columns: Mapping[str, Any],
    wait: float,
    *,
    attempted: bool = True,
) -> datetime:
    """Send chunks that were not executed again later; return when.

    Without `attempted`, it does not count towards MAX_ATTEMPTS.
    """
    due_at, keys = seconds_from_now(wait), [chunk.pk for chunk in chunks]
    Chunk.objects.filter(pk__in=keys).update(
        state=ChunkState.PENDING,
        lease_until=None,
        due_at=due_at,
        attempts=F("attempts") - int(not attempted),
        **columns,
    )
    update_where(Target, {"state": State.PENDING}, chunk=keys, state=State.SENT)
    return due_at


def split_chunk(chunk: Chunk) -> None:
    """Give each target a chunk of its own, so that one bad id does not fail the others."""
    sent = chunk.targets.filter(state=State.SENT)
    if chunk.by_task:
        # This came from the inventory; now each target is read before it is changed.
        sent.update(stood_before=None)
    template = Chunk(operation=chunk.operation, state=ChunkState.PENDING)
    regroup_targets(sent, template, State.PENDING, size=1)


def regroup_targets(
    targets: QuerySet[Target], template: Chunk, state: State, size: int
) -> None:
    """Move targets of an operation to new chunks of this size, like `template`."""
    chunks = template.operation.chunks
    last = chunks.aggregate(last=Max("number"))["last"]
    pks = targets.order_by("pk").values_list("pk", flat=True)
    groups = list(enumerate(batched(pks, size), start=last + 1))
    insert_rows(template, ["number"], [(number,) for number, _group in groups])
    by_number = dict(chunks.filter(number__gt=last).values_list("number", "pk"))
    update_rows(
        Target,
        ["chunk", "state"],
        ((by_number[n], state, pk) for n, group in groups for pk in group),
    )
