"""Writes down what came of calls: many chunks in one transaction, with about one statement an outcome."""

import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F, Max, QuerySet
from django.utils import timezone

from iotda_admin.core.bulk_sql import insert_rows, update_rows
from iotda_admin.iotda import IotdaError
from iotda_admin.operations.audit_log import audited_transaction, record_chunk_event
from iotda_admin.operations.error_codes import NOT_SENT
from iotda_admin.operations.execution.error_policy import ErrorAction, classify
from iotda_admin.operations.execution.leases import (
    OUTAGE_STRIKES,
    LeasedChunk,
    requeue_unsent,
    still_leased,
)
from iotda_admin.operations.execution.lifecycle import (
    finish_operation,
    lock_operation,
    skip_pending,
    stop_operation,
)
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.verbs import State, TargetOutcome, VerbAnswer, get_verb

# How often a chunk is tried that does not reach the platform.
MAX_ATTEMPTS = 3
# In an outage nothing is sent for a while, at most so long.
MAX_OUTAGE_WAIT = 30.0
# Until a batch task is looked at for the first time, and at least from one look to the next.
TASK_POLL_SECONDS = 2
# Until a batch task is tried again for which there was no room.
TASKS_FULL_SECONDS = 20
# In one statement: databases limit how many there may be.
IDS_PER_STATEMENT = 500


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """How the call for a chunk ended: an answer, an error, or neither where it was not made."""

    sending: LeasedChunk
    answer: VerbAnswer | None = None
    error: IotdaError | None = None


def write_results(
    results: Sequence[ChunkResult], *, inline: bool = False, busy: Collection[int] = ()
) -> None:
    """All of it or nothing. What somebody else has taken over meanwhile is void.

    busy: operations of which more is under way here, so that they cannot have ended.
    """
    by_operation = defaultdict(list)
    for result in results:
        by_operation[result.sending.operation.pk].append(result)
    with audited_transaction():
        for operation_id in sorted(by_operation):
            results_of_it = by_operation[operation_id]
            operation = lock_operation(operation_id)
            # The spaces of an operation never change, so they are not read again.
            operation.space = results_of_it[0].sending.operation.space
            page = OperationWriter(operation, inline)
            page.record(results_of_it)
            if operation_id not in busy:
                finish_operation(page.operation)


class OperationWriter:
    """What is written of one operation, whose row is locked, in one go."""

    def __init__(self, operation: Operation, inline: bool = False) -> None:
        self.operation, self.inline = operation, inline
        self.verb = get_verb(operation.verb)
        self.settlement = OutcomeBuffer(operation)
        # Chunks that were answered, with their request ids, by whether the answer was unclear and its status.
        self.answered: dict[tuple[bool, int | None], list[tuple[str, int]]] = (
            defaultdict(list)
        )
        # A refusal that all further calls would meet as well: its code and message.
        self.refusal: tuple[str, str] | None = None
        self.struck: list[bool] = []
        self.hold_until: datetime | None = None

    def record(self, results: Sequence[ChunkResult]) -> None:
        locked = still_leased(result.sending for result in results).select_for_update()
        ours = set(locked.values_list("pk", flat=True))
        for result in results:
            if result.sending.chunk.pk in ours:
                self.verb.inventory.store(result.sending.request.seen)
                self.write(result)
        self.write_answered()
        self.settlement.write()
        self.count_strikes()
        if self.refusal and self.operation.running:
            stop_operation(self.operation, *self.refusal)
        elif not self.operation.running:
            # It was stopped while these were under way: what is put back does not wait then.
            skip_pending(self.operation)

    def write(self, result: ChunkResult) -> None:
        sending = result.sending
        if result.answer:
            self.write_answer(sending, result.answer)
        elif result.error:
            self.write_error(sending, result.error)
        else:
            requeue_unsent([sending])

    def write_answer(self, sending: LeasedChunk, answer: VerbAnswer) -> None:
        if answer.task_id:
            self.write_task(sending, answer)
            return
        verdicts = {
            id: answer.outcomes.get(id, TargetOutcome(State.UNKNOWN))
            for id in sending.request.ids
        }
        verdicts = mark_already(verdicts, sending.request.stood_before)
        unclear = any(verdict.state == State.UNKNOWN for verdict in verdicts.values())
        self.answered[unclear, answer.status].append(
            (answer.request_id[:128], sending.chunk.pk)
        )
        self.struck.append(False)
        self.settlement.add(sending.chunk, verdicts, whole=True)
        kind = "chunk.unanswered" if unclear else "chunk.answered"
        self.tell(kind, sending, verdicts, answer.request_id, {"status": answer.status})

    def write_answered(self) -> None:
        now = timezone.now()
        for (unclear, status), rows in self.answered.items():
            facts = {"lease_until": None, "error_code": "", "error_message": ""}
            state = Chunk.State.UNKNOWN if unclear else Chunk.State.DONE
            if len(rows) == 1:
                facts["request_id"] = rows[0][0]
            Chunk.objects.filter(pk__in=[pk for _request_id, pk in rows]).update(
                state=state,
                due_at=first_read_back(),
                answered_at=now,
                http_status=status,
                **facts,
            )
            if len(rows) == 1:
                continue
            with connection.cursor() as cursor:
                cursor.executemany(
                    "UPDATE operations_chunk SET request_id = %s WHERE id = %s", rows
                )

    def write_task(self, sending: LeasedChunk, answer: VerbAnswer) -> None:
        """The platform has taken it on; its targets stay sent until the task tells of each."""
        release_lease(
            sending.chunk,
            state=Chunk.State.FOLLOWED,
            task_id=answer.task_id,
            due_at=timezone.now() + timedelta(seconds=TASK_POLL_SECONDS),
            answered_at=timezone.now(),
            http_status=answer.status,
            request_id=answer.request_id,
            error_code="",
            error_message="",
        )
        self.struck.append(False)
        self.tell(
            "chunk.answered",
            sending,
            {},
            answer.request_id,
            {"batch_task": answer.task_id},
        )

    def tell(
        self,
        kind: str,
        sending: LeasedChunk,
        verdicts: Mapping[str, TargetOutcome],
        request_id: str,
        detail: Mapping[str, Any],
    ) -> None:
        record_chunk_event(
            kind, sending.operation, sending.chunk, verdicts, sending.names,
            upstream_id=request_id, detail=detail,
        )  # fmt: skip

    def write_error(self, sending: LeasedChunk, error: IotdaError) -> None:
        chunk, ids = sending.chunk, sending.request.ids
        said = {
            "http_status": error.status,
            "request_id": error.request_id[:128],
            "error_code": error.code[:64],
            "error_message": error.message[:512],
        }
        judgement = classify(error, self.verb, len(ids))
        self.struck.append(judgement in (ErrorAction.UNKNOWN, ErrorAction.NOT_SENT))
        # Unless it settles the targets, they are sent again.
        kind, verdicts = "chunk.not_sent", {}
        match judgement:
            case ErrorAction.UNKNOWN:
                release_lease(
                    chunk, state=Chunk.State.UNKNOWN, due_at=first_read_back(), **said
                )
                kind = "chunk.unanswered"
                verdicts = self.settle_all(
                    sending, TargetOutcome(State.UNKNOWN, error.code, error.message)
                )
            case ErrorAction.WAIT:
                # Whatever else is sent would be refused for the rate as well.
                until = requeue_chunk(
                    chunk,
                    said,
                    error.retry_after or retry_delay(chunk.attempts),
                    tried=False,
                )
                self.hold_until = max(until, self.hold_until or until)
            case ErrorAction.FULL:
                # Whatever goes without a batch task goes on.
                requeue_chunk(chunk, said, TASKS_FULL_SECONDS, tried=False)
            case ErrorAction.NOT_SENT if (
                not self.inline and chunk.attempts < MAX_ATTEMPTS
            ):
                requeue_chunk(chunk, said, retry_delay(chunk.attempts))
            case ErrorAction.SPLIT:
                release_lease(
                    chunk, state=Chunk.State.DONE, answered_at=timezone.now(), **said
                )
                split_chunk(chunk)
            case _:
                release_lease(
                    chunk, state=Chunk.State.DONE, answered_at=timezone.now(), **said
                )
                code = error.code or (
                    NOT_SENT if judgement == ErrorAction.NOT_SENT else ""
                )
                kind = kind if judgement == ErrorAction.NOT_SENT else "chunk.answered"
                verdicts = self.settle_all(
                    sending, TargetOutcome(State.FAILED, code, error.message)
                )
                if judgement == ErrorAction.STOP:
                    self.refusal = self.refusal or (error.code, error.message)
        detail = {
            "status": error.status,
            "code": error.code,
            "message": error.message[:512],
        }
        self.tell(kind, sending, verdicts, error.request_id, detail)

    def settle_all(
        self, sending: LeasedChunk, verdict: TargetOutcome
    ) -> dict[str, TargetOutcome]:
        verdicts = dict.fromkeys(sending.request.ids, verdict)
        self.settlement.add(sending.chunk, verdicts, whole=True)
        return verdicts

    def count_strikes(self) -> None:
        """An outage is met with few calls: the more of them fail in a row, the longer nothing is sent."""
        if not self.struck:
            return
        strikes = self.operation.strikes + len(self.struck) if all(self.struck) else 0
        if strikes >= OUTAGE_STRIKES:
            wait = min(MAX_OUTAGE_WAIT, 2.0 ** (strikes - OUTAGE_STRIKES + 1))
            self.hold_until = timezone.now() + timedelta(seconds=wait)
        if strikes != self.operation.strikes or self.hold_until:
            self.operation.strikes = strikes
            self.operation.held_until = self.hold_until or self.operation.held_until
            self.operation.save(update_fields=["strikes", "held_until"])


class OutcomeBuffer:
    """Each target's outcome, gathered, then written with one statement an outcome."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.whole: dict[TargetOutcome, list[int]] = defaultdict(list)
        self.parts: dict[TargetOutcome, list[list[str]]] = defaultdict(list)
        self.standing: list[str] = []

    def add(
        self,
        chunk: Chunk,
        verdicts: Mapping[str, TargetOutcome],
        *,
        whole: bool = False,
    ) -> None:
        """whole: these are all targets of the chunk that were sent."""
        same: dict[TargetOutcome, list[str]] = defaultdict(list)
        for id, verdict in verdicts.items():
            same[verdict].append(id)
            if verdict.state in (State.OK, State.ALREADY):
                self.standing.append(id)
        for verdict, ids in same.items():
            if whole and len(same) == 1:
                self.whole[verdict].append(chunk.pk)
            else:
                self.parts[verdict].append(ids)

    def write(self) -> None:
        # What is settled stays settled, whoever comes late.
        targets = Target.objects.filter(state__in=[State.SENT, State.UNKNOWN])
        for verdict, chunks in self.whole.items():
            # A chunk that was sent again may have left targets behind that nobody can tell of any more.
            Target.objects.filter(chunk__in=chunks, state=State.SENT).update(
                **outcome_columns(verdict)
            )
        for verdict, parts in self.parts.items():
            for ids in parts:
                # Not by their chunk: of a large one, each statement would read all targets.
                for some in batched(ids, IDS_PER_STATEMENT):
                    targets.filter(operation=self.operation, target_id__in=some).update(
                        **outcome_columns(verdict)
                    )
        if self.standing:
            get_verb(self.operation.verb).inventory.apply(self.operation, self.standing)


def mark_already(
    verdicts: Mapping[str, TargetOutcome], stood_before: Mapping[str, bool | None]
) -> dict[str, TargetOutcome]:
    """What stood as asked beforehand was not changed by us, though the platform says it is done."""
    return {
        id: TargetOutcome(State.ALREADY)
        if verdict.state == State.OK and stood_before.get(id)
        else verdict
        for id, verdict in verdicts.items()
    }


def outcome_columns(verdict: TargetOutcome) -> dict[str, Any]:
    return {
        "state": verdict.state,
        "error_code": verdict.code[:64],
        "error_message": verdict.message[:512],
        "settled_at": None if verdict.state == State.UNKNOWN else timezone.now(),
    }


def release_lease(chunk: Chunk, **facts: Any) -> None:
    Chunk.objects.filter(pk=chunk.pk).update(lease_until=None, **facts)


def first_read_back() -> datetime:
    """A request that we gave up on may still arrive: not before its deadline is the platform asked."""
    return timezone.now() + timedelta(seconds=settings.IOTDA_DEADLINE)


def retry_delay(attempts: int) -> float:
    return min(60.0, 2.0**attempts) * random.uniform(0.5, 1.0)  # noqa: S311


def requeue_chunk(
    chunk: Chunk, said: Mapping[str, Any], wait: float, *, tried: bool = True
) -> datetime:
    """Not executed: to be sent again, after a while. Where it was no try, as often as need be."""
    due_at = timezone.now() + timedelta(seconds=wait)
    release_lease(
        chunk,
        state=Chunk.State.PENDING,
        due_at=due_at,
        attempts=F("attempts") - int(not tried),
        **said,
    )
    Target.objects.filter(chunk=chunk, state=State.SENT).update(state=State.PENDING)
    return due_at


def split_chunk(chunk: Chunk) -> None:
    """Each id gets a chunk of its own, so that one bad id does not hold back its neighbours."""
    sent = chunk.targets.filter(state=State.SENT)
    if chunk.by_task:
        # That was the inventory's word; now each is read before it is changed.
        sent.update(stood_before=None)
    alike = Chunk(operation_id=chunk.operation_id, state=Chunk.State.PENDING)
    regroup_targets(sent, alike, State.PENDING, together=1)


def regroup_targets(
    targets: QuerySet[Target], alike: Chunk, state: State, together: int
) -> None:
    """Targets of an operation, maybe 30,000, get chunks of their own, each for so many together."""
    of_operation = Chunk.objects.filter(operation=alike.operation_id)
    last = of_operation.aggregate(last=Max("number"))["last"]
    pks = targets.order_by("pk").values_list("pk", flat=True)
    groups = list(enumerate(batched(pks, together), start=last + 1))
    insert_rows(alike, ["number"], [(number,) for number, _group in groups])
    chunks = dict(of_operation.filter(number__gt=last).values_list("number", "pk"))
    update_rows(
        Target,
        ["chunk", "state"],
        ((chunks[n], state, pk) for n, group in groups for pk in group),
    )
