"""What became of the calls that nobody answered: read the platform back, then settle.

Nothing is sent again blindly: somebody may have changed the target since.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import timedelta
from itertools import batched
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from iotda_admin.core.bulk_sql import update_rows, values_subquery
from iotda_admin.iotda import Client, IotdaError
from iotda_admin.operations.audit_log import audited_transaction, record_chunk_event
from iotda_admin.operations.error_codes import CHANGED_SINCE, NOT_APPLIED, SENDER_LOST
from iotda_admin.operations.execution.lifecycle import (
    finish_operation,
    lock_operation,
    skip_pending,
)
from iotda_admin.operations.execution.result_writer import (
    MAX_ATTEMPTS,
    OutcomeBuffer,
    first_read_back,
    mark_already,
)
from iotda_admin.operations.execution.tasks import nudge
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.verbs import State, TargetOutcome, VerbRequest, get_verb
from iotda_admin.rate.connection import client as configured_client

log = logging.getLogger(__name__)

# One look can be too early: the platform's listing may lag behind its own change.
READS_NEEDED = 2
RETRY_SECONDS = 15
NOTIFY_SECONDS = 10
# A reader that has not shown a sign of life for so long is taken for dead.
READER_LEASE_SECONDS = 60
# One look serves so many chunks of an operation: a policy's targets are listed once for all of them.
CHUNKS_PER_READ = 200
# Targets that one event of the trail tells of.
TARGETS_PER_EVENT = 1000
# A later operation on the same target that may still change it: until it is settled, nothing can be told.
# One of which nothing will ever be told is not waited for.
MAY_STILL_CHANGE = Q(state__in=[State.PENDING, State.SENT, State.UNKNOWN]) & ~Q(
    error_code=CHANGED_SINCE
)
# A later operation did change it: the platform no longer tells about this one.
CHANGED_LATER = TargetOutcome(State.UNKNOWN, CHANGED_SINCE)
FOUND_UNCHANGED = TargetOutcome(State.FAILED, NOT_APPLIED)


def recover_stalled() -> None:
    """Run again and again by the worker: what stands still is moved on."""
    expire_leases()
    finish_completed()
    notify_workers_again()


def expire_leases() -> None:
    """A chunk whose sender died is neither applied nor refused, as far as anyone knows: unknown."""
    expired = Chunk.objects.filter(state=Chunk.State.SENT, lease_until__lt=Now())
    for operation_id in sorted(set(expired.values_list("operation", flat=True))):
        with audited_transaction():
            operation = lock_operation(operation_id)
            lost = list(expired.filter(operation=operation_id).select_for_update())
            for chunk in lost:
                record_sender_lost(
                    chunk,
                    operation,
                    "chunk.unanswered",
                    TargetOutcome(State.UNKNOWN, SENDER_LOST),
                )
            Target.objects.filter(chunk__in=lost, state=State.SENT).update(
                state=State.UNKNOWN
            )
            Chunk.objects.filter(pk__in=[chunk.pk for chunk in lost]).update(
                state=Chunk.State.UNKNOWN,
                token=F("token") + 1,
                lease_until=None,
                due_at=first_read_back(),
                error_code=SENDER_LOST,
            )
        log.warning(
            "OP-%s: %d chunks without a recorded answer, reading back",
            operation_id,
            len(lost),
        )


def record_sender_lost(
    chunk: Chunk, operation: Operation, kind: str, verdict: TargetOutcome
) -> None:
    """The same of all targets that are under way; of a batch task in parts."""
    sent = Target.objects.filter(chunk=chunk, state=State.SENT).order_by("pk")
    for some in batched(sent.values_list("target_id", "name"), TARGETS_PER_EVENT):
        names = dict(some)
        record_chunk_event(kind, operation, chunk, dict.fromkeys(names, verdict), names)


def finish_completed() -> None:
    """Who recorded the last answer may have died while it took another chunk, which somebody else has
    settled meanwhile, for still under way."""
    still_open = Chunk.objects.filter(operation=OuterRef("pk"), state__in=Chunk.OPEN)
    over = Operation.objects.filter(~Exists(still_open), state=Operation.State.RUNNING)
    for operation_id in over.values_list("pk", flat=True)[:100]:
        with audited_transaction():
            finish_operation(lock_operation(operation_id))


def notify_workers_again() -> None:
    """A message to the workers can get lost; the rows cannot."""
    now = timezone.now()
    chunks = Chunk.objects.filter(operation=OuterRef("pk"))
    waiting = chunks.filter(state=Chunk.State.PENDING, due_at__lte=now)
    # A call from before something became due has led to nothing.
    in_vain = (
        Q(nudged_at=None)
        | Q(nudged_at__lt=now - timedelta(seconds=NOTIFY_SECONDS))
        | Q(nudged_at__lt=F("held_until"))
        | Q(Exists(waiting.filter(due_at__gt=OuterRef("nudged_at"))))
    )
    running = Operation.objects.filter(
        in_vain,
        Q(held_until=None) | Q(held_until__lte=now),
        Exists(waiting),
        ~Exists(chunks.filter(state=Chunk.State.SENT, lease_until__gt=Now())),
        state=Operation.State.RUNNING,
    )
    for operation_id in running.values_list("pk", flat=True)[:100]:
        nudge(operation_id)


def chunks_to_read_back(*, by_task: bool = False) -> QuerySet[Chunk]:
    unknown = Chunk.objects.filter(state=Chunk.State.UNKNOWN, by_task=by_task)
    return unknown.filter(due_at__lte=timezone.now()).order_by("due_at")


def reconcile_due(client: Client | None = None) -> None:
    """Run again and again by the worker: look at the platform for all whose time has come."""
    for operation_id in dict.fromkeys(
        chunks_to_read_back().values_list("operation", flat=True)
    ):
        reconcile_operation(operation_id, client or configured_client())


def reconcile_operation(
    operation_id: int, client: Client, limit: int = CHUNKS_PER_READ
) -> None:
    """Look at the platform for an operation's unknown targets that are due; settle those that can be told."""
    reading = ReadBack(Operation.objects.get(pk=operation_id))
    if not reading.take(limit):
        return
    verb = get_verb(reading.operation.verb)
    request = VerbRequest(
        reading.operation, dict.fromkeys(reading.ids(), None), heartbeat=reading.beat
    )
    try:
        stands = verb.read_back(client, request)
    except IotdaError as error:
        again = timezone.now() + timedelta(seconds=RETRY_SECONDS)
        reading.mine().update(due_at=again, error_message=error.message[:512])
        return
    reading.stood_before = reading.inventory_said()
    with transaction.atomic():
        lock_operation(operation_id)
        verb.inventory.store(request.seen)
    reading.record(stands)


class ReadBack:
    """One look for several chunks of an operation. One reader has a chunk; if it dies, another one."""

    def __init__(self, operation: Operation, *, by_task: bool = False) -> None:
        self.operation, self.by_task = operation, by_task
        self.tokens: dict[int, int] = {}
        self.targets: dict[int, list[str]] = defaultdict(list)
        self.stood_before: Mapping[str, bool] = {}
        self.next_beat = time.monotonic() + READER_LEASE_SECONDS / 4

    def take(self, limit: int) -> bool:
        with transaction.atomic():
            free = (
                chunks_to_read_back(by_task=self.by_task)
                .filter(operation=self.operation)
                .select_for_update(skip_locked=True)
            )
            self.tokens = {
                pk: token + 1 for pk, token in free.values_list("pk", "token")[:limit]
            }
            Chunk.objects.filter(pk__in=self.tokens).update(
                token=F("token") + 1, due_at=self.later()
            )
        rows = Target.objects.filter(chunk__in=self.tokens, state=State.UNKNOWN)
        for chunk_id, target_id in rows.values_list("chunk", "target_id"):
            self.targets[chunk_id].append(target_id)
        return bool(self.tokens)

    def inventory_said(self) -> Mapping[str, bool]:
        """What stood when it was sent, of what was perhaps never sent: nobody has looked before, or has
        lived to tell."""
        lost = dict(
            self.mine().filter(error_code=SENDER_LOST).values_list("pk", "sent_at")
        )
        sent = [sent_at for sent_at in lost.values() if sent_at]
        ids = [id for pk in lost for id in self.targets[pk]]
        return (
            get_verb(self.operation.verb).inventory.standing(
                ids, self.operation, before=min(sent)
            )
            if sent
            else {}
        )

    def ids(self) -> list[str]:
        return [id for ids in self.targets.values() for id in ids]

    def mine(self) -> QuerySet[Chunk]:
        """The chunks that no other reader has taken over."""
        held = Q(pk__in=[])
        for pk, token in self.tokens.items():
            held |= Q(pk=pk, token=token)
        return Chunk.objects.filter(held, state=Chunk.State.UNKNOWN)

    def later(self) -> Any:
        return timezone.now() + timedelta(seconds=READER_LEASE_SECONDS)

    def beat(self) -> None:
        if time.monotonic() > self.next_beat:
            self.mine().update(due_at=self.later())
            self.next_beat = time.monotonic() + READER_LEASE_SECONDS / 4

    def record(self, stands: Mapping[str, bool]) -> None:
        """Settle what the look tells. The first one that is recorded counts; a late one is void."""
        with audited_transaction():
            self.write(stands)

    def write(self, stands: Mapping[str, bool]) -> None:
        operation = lock_operation(self.operation.pk)
        settlement = OutcomeBuffer(operation)
        for chunk in self.mine().select_for_update():
            reconcile_chunk(
                chunk, self.targets[chunk.pk], stands, settlement, self.stood_before
            )
        settlement.write()
        if not operation.running:
            skip_pending(operation)
        finish_operation(operation)


def reconcile_chunk(
    chunk: Chunk,
    ids: Collection[str],
    stands: Mapping[str, bool],
    settlement: OutcomeBuffer,
    stood_before: Mapping[str, bool],
) -> None:
    told = set(ids) & stands.keys() - changed_later(
        chunk, ids, MAY_STILL_CHANGE
    ) - in_flight_elsewhere(chunk, ids)
    verdicts = dict.fromkeys(
        changed_later(chunk, told, Q(state=State.OK)), CHANGED_LATER
    )
    verdicts |= {
        id: TargetOutcome(State.OK) for id in told if stands[id] and id not in verdicts
    }
    missing = told - verdicts.keys()
    changes: dict[str, Any] = {"state": Chunk.State.DONE}
    if len(told) < len(ids):
        changes = {"due_at": timezone.now() + timedelta(seconds=RETRY_SECONDS)}
    elif missing and chunk.misses + 1 < READS_NEEDED:
        gap = timedelta(seconds=settings.READ_BACK_GAP)
        changes = {"due_at": timezone.now() + gap, "misses": chunk.misses + 1}
    elif missing:
        again = (
            missing - changed_later(chunk, missing, Q()) if may_resend(chunk) else set()
        )
        verdicts |= dict.fromkeys(missing - again, FOUND_UNCHANGED)
        if again:
            unknown = chunk.targets.filter(state=State.UNKNOWN).values_list(
                "pk", "target_id"
            )
            update_rows(
                Target,
                ["state"],
                [(State.PENDING, pk) for pk, id in unknown if id in again],
            )
            changes = {
                "state": Chunk.State.PENDING,
                "due_at": timezone.now(),
                "misses": 0,
            }
    Chunk.objects.filter(pk=chunk.pk).update(**changes)
    of_chunk = list(chunk.targets.values_list("target_id", "name", "stood_before"))
    verdicts = mark_already(
        verdicts, {id: stood for id, _name, stood in of_chunk} | dict(stood_before)
    )
    settlement.add(chunk, verdicts)
    if verdicts:
        names = {id: name for id, name, _stood in of_chunk}
        record_chunk_event(
            "chunk.settled", settlement.operation, chunk, verdicts, names
        )


def may_resend(chunk: Chunk) -> bool:
    """Only where our own process died on the way: the platform was perhaps never asked. Looked at twice, and
    nobody else has asked for a change of the target since."""
    return chunk.error_code == SENDER_LOST and chunk.attempts < MAX_ATTEMPTS


def changed_later(chunk: Chunk, ids: Collection[str], how: Q) -> set[str]:
    """The targets that a later operation touched as well, and how they stand there."""
    later = Target.objects.filter(
        how,
        target_id=OuterRef("target_id"),
        subject=OuterRef("subject"),
        pk__gt=OuterRef("pk"),
    )
    # Not by the chunk, which may have 30,000: PostgreSQL then reads all of them for each.
    own = Target.objects.filter(
        operation=chunk.operation_id, target_id__in=values_subquery(list(ids))
    )
    return set(own.filter(Exists(later)).values_list("target_id", flat=True))


def in_flight_elsewhere(chunk: Chunk, ids: Collection[str]) -> set[str]:
    """An earlier operation's batch task that was found again may still change them."""
    others = Target.objects.filter(
        target_id=OuterRef("target_id"),
        subject=OuterRef("subject"),
        state__in=Target.IN_FLIGHT,
    ).exclude(pk=OuterRef("pk"))
    own = Target.objects.filter(
        operation=chunk.operation_id, target_id__in=values_subquery(list(ids))
    )
    return set(own.filter(Exists(others)).values_list("target_id", flat=True))
