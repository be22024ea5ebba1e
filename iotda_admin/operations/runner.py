"""Sends the chunks of an operation and records what came of each.

The order is the promise: `claim` commits that a chunk is sent, then the call is made, then `record_*`
commits what is known. A crash in between leaves the chunk `sent` with a lease that runs out, and
recovery takes it from there.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from iotda_admin.iotda import Client, IotdaError
from iotda_admin.operations.codes import NOT_SENT
from iotda_admin.operations.judgement import Judgement, judge
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.results import counts_of, counts_text
from iotda_admin.operations.trail import deed, event
from iotda_admin.operations.verbs import Answer, Verdict, verb_named

State = Target.State
ATTEMPTS = 3


def run(chunk_id: int, client: Client, *, inline: bool = False) -> None:
    """Send one chunk, unless another process has it, and record what came of it."""
    chunk = claim(chunk_id)
    if chunk is None:
        return
    verb = verb_named(chunk.operation.verb)
    ids = list(chunk.targets.filter(state=State.SENT).values_list("target_id", flat=True))
    try:
        answer = verb.send(client, chunk.operation, ids)
    except IotdaError as error:
        record_error(chunk, ids, error, inline=inline)
    else:
        record_answer(chunk, answer)


def lease() -> timedelta:
    """A chunk makes at most three calls in turn (look, write, look again), each with its deadline."""
    return timedelta(seconds=3 * settings.IOTDA_DEADLINE + 2)


def claim(chunk_id: int) -> Chunk | None:
    """The chunk, committed as sent, for exactly one of those who ask."""
    now = timezone.now()
    with transaction.atomic(durable=True):
        # All conditions stand on the row itself: PostgreSQL checks those again once it has the lock, but not
        # a join. A stopped operation has no pending chunks.
        mine = Chunk.objects.filter(
            pk=chunk_id,
            state=Chunk.State.PENDING,
            due_at__lte=now,
        ).update(
            state=Chunk.State.SENT,
            token=F("token") + 1,
            attempts=F("attempts") + 1,
            lease_until=now + lease(),
            sent_at=now,
        )
        if not mine:
            return None
        Target.objects.filter(chunk_id=chunk_id, state=State.PENDING).update(state=State.SENT)
    return Chunk.objects.select_related("operation").get(pk=chunk_id)


def release(chunk: Chunk, **changes: Any) -> bool:
    """Write down how the call ended. False where the lease ran out and another holder took over."""
    return bool(
        Chunk.objects.filter(pk=chunk.pk, token=chunk.token, state=Chunk.State.SENT).update(
            lease_until=None, **changes
        )
    )


def hold(chunk: Chunk) -> Operation:
    """Lock the operation before anything of it is written: one order for all who settle, so no deadlock,
    and of two that settle the last two chunks at once, the second sees what the first has written."""
    return Operation.objects.select_for_update().get(pk=chunk.operation_id)


@transaction.atomic
def record_answer(chunk: Chunk, answer: Answer) -> None:
    hold(chunk)
    sent = dict(chunk.targets.filter(state=State.SENT).values_list("target_id", "stood_before"))
    verdicts = {id: answer.verdicts.get(id, Verdict(State.UNKNOWN)) for id in sent}
    unclear = any(verdict.state == State.UNKNOWN for verdict in verdicts.values())
    facts = {"answered_at": timezone.now(), "http_status": answer.status, "request_id": answer.request_id}
    if unclear:
        facts |= {"state": Chunk.State.UNKNOWN, "due_at": read_back_from(chunk)}
    else:
        facts |= {"state": Chunk.State.DONE}
    if release(chunk, **facts, error_code="", error_message=""):
        settle(chunk, verdicts, sent)


@transaction.atomic
def record_error(chunk: Chunk, ids: Sequence[str], error: IotdaError, *, inline: bool) -> None:
    hold(chunk)
    verb = verb_named(chunk.operation.verb)
    said = {
        "http_status": error.status,
        "request_id": error.request_id[:128],
        "error_code": error.code[:64],
        "error_message": error.message[:512],
    }
    match judge(error, verb, len(ids)):
        case Judgement.UNKNOWN:
            if release(chunk, state=Chunk.State.UNKNOWN, due_at=read_back_from(chunk), **said):
                settle(chunk, all_of(ids, Verdict(State.UNKNOWN, error.code, error.message)))
        case Judgement.WAIT:
            wait = error.retry_after or backoff(chunk.attempts)
            put_back(chunk, said, wait=wait, everything=True)
        case Judgement.NOT_SENT if not inline and chunk.attempts < ATTEMPTS:
            put_back(chunk, said, wait=backoff(chunk.attempts))
        case Judgement.NOT_SENT:
            fail(chunk, ids, error.code or NOT_SENT, error.message, said)
        case Judgement.STOP:
            if fail(chunk, ids, error.code, error.message, said):
                stop(chunk.operation, error.code, error.message)
        case Judgement.SPLIT:
            if release(chunk, state=Chunk.State.DONE, answered_at=timezone.now(), **said):
                split(chunk)
        case Judgement.FAILED:
            fail(chunk, ids, error.code, error.message, said)
    stop_what_waits(chunk)


def read_back_from(chunk: Chunk) -> Any:
    """A request that we gave up on may still arrive: not before its deadline is the platform asked."""
    assert chunk.sent_at is not None
    return chunk.sent_at + timedelta(seconds=settings.IOTDA_DEADLINE)


def backoff(attempts: int) -> float:
    return min(60.0, 2.0**attempts) * random.uniform(0.5, 1.0)  # noqa: S311


def all_of(ids: Sequence[str], verdict: Verdict) -> dict[str, Verdict]:
    return dict.fromkeys(ids, verdict)


def fail(chunk: Chunk, ids: Sequence[str], code: str, message: str, said: Mapping[str, Any]) -> bool:
    released = release(chunk, state=Chunk.State.DONE, answered_at=timezone.now(), **said)
    if released:
        settle(chunk, all_of(ids, Verdict(State.FAILED, code, message)))
    return released


def put_back(chunk: Chunk, said: Mapping[str, Any], *, wait: float, everything: bool = False) -> None:
    """Not executed: wait and send again. A refusal for the rate holds the whole operation back."""
    due_at = timezone.now() + timedelta(seconds=wait)
    if not release(chunk, state=Chunk.State.PENDING, due_at=due_at, **said):
        return
    chunk.targets.filter(state=State.SENT).update(state=State.PENDING)
    if everything:
        pending = Chunk.objects.filter(operation=chunk.operation, state=Chunk.State.PENDING)
        pending.filter(due_at__lt=due_at).update(due_at=due_at)


def split(chunk: Chunk) -> None:
    """Each id gets a chunk of its own, so that one bad id does not hold back its neighbours."""
    targets = list(chunk.targets.filter(state=State.SENT))
    last = Chunk.objects.filter(operation=chunk.operation).aggregate(last=Max("number"))["last"]
    chunks = Chunk.objects.bulk_create(
        Chunk(operation=chunk.operation, number=last + offset) for offset in range(1, len(targets) + 1)
    )
    for target, own in zip(targets, chunks, strict=True):
        target.chunk, target.state = own, State.PENDING
    Target.objects.bulk_update(targets, ["chunk", "state"])


def settle(
    chunk: Chunk, verdicts: Mapping[str, Verdict], stood_before: Mapping[str, bool | None] | None = None
) -> None:
    """Write each target's outcome, let the inventory follow, and end the operation with its last target."""
    stood_before = stood_before or {}
    same: dict[Verdict, list[str]] = defaultdict(list)
    for id, verdict in verdicts.items():
        if verdict.state == State.OK and stood_before.get(id):
            verdict = Verdict(State.ALREADY)
        same[verdict].append(id)
    # What is settled stays settled, whoever comes late.
    targets = Target.objects.filter(chunk=chunk, state__in=[State.SENT, State.UNKNOWN])
    for verdict, ids in same.items():
        targets.filter(target_id__in=ids).update(
            state=verdict.state,
            error_code=verdict.code[:64],
            error_message=verdict.message[:512],
            settled_at=None if verdict.state == State.UNKNOWN else timezone.now(),
        )
    standing = [id for v, ids in same.items() if v.state in (State.OK, State.ALREADY) for id in ids]
    verb_named(chunk.operation.verb).settled(chunk.operation, standing)
    end(chunk.operation)


def stop(operation: Operation, code: str, message: str) -> None:
    """The rest would be refused as well: it is not sent, and says why."""
    Operation.objects.filter(pk=operation.pk, state=Operation.State.RUNNING).update(
        state=Operation.State.STOPPED, stop_code=code[:64], stop_message=message[:512]
    )
    Chunk.objects.filter(operation=operation, state=Chunk.State.PENDING).update(state=Chunk.State.DONE)
    Target.objects.filter(operation=operation, state=State.PENDING).update(
        state=State.SKIPPED, error_code=code[:64], error_message=message[:512], settled_at=timezone.now()
    )
    end(operation)


def stop_what_waits(chunk: Chunk) -> None:
    """Another chunk may have stopped the operation while this one was under way: it does not wait then."""
    operation = hold(chunk)
    if operation.state == Operation.State.STOPPED:
        stop(operation, operation.stop_code, operation.stop_message)


def end(operation: Operation) -> None:
    """Once nothing is open any more, the operation has ended; exactly one caller writes that down."""
    if Chunk.objects.filter(operation=operation).exclude(state=Chunk.State.DONE).exists():
        return
    ended = Operation.objects.filter(pk=operation.pk, finished_at=None)
    if ended.update(finished_at=timezone.now()):
        Operation.objects.filter(pk=operation.pk, state=Operation.State.RUNNING).update(
            state=Operation.State.DONE
        )
        counts = counts_of(operation)
        event(
            "operation.ended",
            operation,
            summary=f"{deed(operation)} {sum(counts.values())} x {operation.target_type}",
            outcome=counts_text(counts),
            detail={"counts": counts},
        )
