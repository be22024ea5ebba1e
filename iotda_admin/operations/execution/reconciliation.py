"""Finds out what unanswered calls did: reads IoTDA back, then records the outcomes.

Nothing is sent again unless IoTDA shows that it was not applied and no other change of
the target was requested since.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Collection
from itertools import batched
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from iotda_admin.core.bulk_sql import among
from iotda_admin.iotda import Client, IotdaError
from iotda_admin.operations.audit_log import (
    TARGETS_PER_EVENT,
    audited_transaction,
    record_chunk_event,
)
from iotda_admin.operations.error_codes import CHANGED_SINCE, NOT_APPLIED, SENDER_LOST
from iotda_admin.operations.execution.held_work import hold_old_work
from iotda_admin.operations.execution.leases import lease_expiry, lease_seconds
from iotda_admin.operations.execution.lifecycle import (
    finish_operation,
    lock_operation,
)
from iotda_admin.operations.execution.result_writer import (
    MAX_ATTEMPTS,
    OutcomeBuffer,
    first_read_back,
    mark_already,
    seconds_from_now,
)
from iotda_admin.operations.models import Chunk, ChunkState, Operation, Target
from iotda_admin.operations.verbs import (
    Outcomes,
    Standing,
    State,
    TargetOutcome,
    VerbRequest,
    get_verb,
)
from iotda_admin.rate.connection import client as configured_client

log = logging.getLogger(__name__)

# A change counts as not applied after this many reads, because IoTDA's lists can lag.
READS_NEEDED = 2
RETRY_SECONDS = 15
# Another process takes a chunk over whose reader has sent no heartbeat for this long.
READER_LEASE_SECONDS = 60
# IoTDA may ask to wait an hour; a chunk of a single target makes a few calls.
LONGEST_WAIT = 3660
MOST_CALLS = 10
# The most chunks that one read serves: a policy's targets are listed once for all of them.
CHUNKS_PER_READ = 200
LATER = Q(pk__gt=OuterRef("pk"))
# Targets that another operation may still change, even an earlier one, whose batch task
# can be found again; but not those that stay unknown.
MAY_STILL_CHANGE = Q(state__in=Target.IN_FLIGHT) & ~Q(pk=OuterRef("pk")) | Q(
    state=State.UNKNOWN
) & LATER & ~Q(error_code=CHANGED_SINCE)
# A later operation changed the target, so IoTDA no longer shows what this one did.
CHANGED_LATER = TargetOutcome(State.UNKNOWN, CHANGED_SINCE)
FOUND_APPLIED = TargetOutcome(State.OK)
FOUND_UNCHANGED = TargetOutcome(State.FAILED, NOT_APPLIED)


def recover_stalled() -> None:
    """Move on what has stalled. The worker runs this every second."""
    correct_future_times()
    expire_leases()
    finish_completed()


def correct_future_times() -> None:
    """End waits and leases that are longer than any: the clock was set back since."""
    farthest = seconds_from_now(LONGEST_WAIT)
    waiting = Chunk.objects.filter(state__in=Chunk.OPEN, due_at__gt=farthest)
    waiting.update(due_at=timezone.now())
    operations = Operation.objects.filter(
        state=Operation.State.RUNNING, waits_until__gt=farthest
    )
    operations.update(waits_until=None)
    # A process that is still sending extends its leases, by the same clock.
    longest = lease_expiry(lease_seconds(MOST_CALLS))
    leased = Chunk.objects.filter(state=ChunkState.SENT, lease_until__gt=longest)
    leased.update(lease_until=longest)


def expire_leases() -> None:
    """Mark chunks unknown whose sender has died: IoTDA may or may not have applied them."""
    expired = Q(state=ChunkState.SENT, lease_until__lt=Now())
    found = Chunk.objects.filter(expired).values_list("operation", flat=True)
    for operation_id in sorted(set(found)):
        with audited_transaction():
            chunks = lock_operation(operation_id).chunks
            lost = list(chunks.filter(expired).select_for_update())
            for chunk in lost:
                record_sender_lost(chunk)
            Target.objects.filter(chunk__in=lost, state=State.SENT).update(
                state=State.UNKNOWN
            )
            chunks.filter(pk__in=[chunk.pk for chunk in lost]).update(
                state=ChunkState.UNKNOWN,
                token=F("token") + 1,
                lease_until=None,
                due_at=first_read_back(),
                misses=0,
                error_code=SENDER_LOST,
            )
        log.warning("OP-%s: %d leases expired, reading back", operation_id, len(lost))


def record_sender_lost(chunk: Chunk) -> None:
    sent = chunk.targets.filter(state=State.SENT).order_by("pk")
    for group in batched(sent.values_list("target_id", "name"), TARGETS_PER_EVENT):
        names = dict(group)
        outcomes = dict.fromkeys(names, TargetOutcome(State.UNKNOWN, SENDER_LOST))
        record_chunk_event("chunk.unanswered", chunk, outcomes, names)


def finish_completed() -> None:
    """Finish operations without open chunks.

    A process that records the last answer does not finish the operation while it holds
    another chunk of it. It may then die, and that chunk is reconciled elsewhere.
    """
    open_chunks = Chunk.objects.filter(operation=OuterRef("pk"), state__in=Chunk.OPEN)
    completed = Operation.objects.filter(
        ~Exists(open_chunks),
        state__in=[Operation.State.RUNNING, Operation.State.PAUSED],
    )
    for operation_id in completed.values_list("pk", flat=True)[:100]:
        with audited_transaction():
            finish_operation(lock_operation(operation_id))


def chunks_to_read_back(*, by_task: bool = False) -> QuerySet[Chunk]:
    due = Chunk.objects.due(ChunkState.UNKNOWN)
    return due.filter(by_task=by_task).order_by("due_at")


def reconcile_due() -> None:
    """Read back all chunks that are due. The worker runs this every second."""
    due = chunks_to_read_back().values_list("operation", flat=True)
    for operation_id in dict.fromkeys(due):
        reconcile_operation(operation_id, configured_client())


def reconcile_operation(
    operation_id: int, client: Client, limit: int = CHUNKS_PER_READ
) -> None:
    """Read an operation's due unknown targets from IoTDA and record what it shows."""
    read = ReadBack(Operation.objects.get(pk=operation_id))
    if not read.lease(limit):
        return
    verb = get_verb(read.operation.verb)
    request = VerbRequest(
        read.operation, dict.fromkeys(read.ids(), None), heartbeat=read.heartbeat
    )
    try:
        found = verb.read_back(client, request)
    except IotdaError as error:
        read.postpone(error)
        return
    read.stood_before = read.inventory_before_loss()
    with audited_transaction():
        lock_operation(operation_id)
        verb.inventory.store(read.operation, request.seen)
    read.record(found)


class ReaderLease:
    """Chunks of an operation that only this process reads; `due_at` is the lease's end."""

    # The chunks' state, until an outcome is recorded.
    state = ChunkState.UNKNOWN

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.tokens: dict[int, int] = {}
        self.next_heartbeat = time.monotonic() + READER_LEASE_SECONDS / 4

    def lease_rows(self, due: QuerySet[Chunk], limit: int) -> bool:
        """Lease up to `limit` of these chunks; return False if there are none."""
        hold_old_work()
        with transaction.atomic():
            own = due.filter(operation=self.operation)
            rows = own.select_for_update(skip_locked=True).values_list("pk", "token")
            self.tokens = {pk: token + 1 for pk, token in rows[:limit]}
            Chunk.objects.filter(pk__in=self.tokens).update(
                token=F("token") + 1, due_at=seconds_from_now(READER_LEASE_SECONDS)
            )
        return bool(self.tokens)

    def own_chunks(self) -> QuerySet[Chunk]:
        """Return the chunks that no other reader has taken over."""
        own = self.operation.chunks.with_tokens(self.tokens.items())
        return own.filter(state=self.state)

    def update(self, **columns: Any) -> None:
        self.own_chunks().update(**columns)

    def heartbeat(self) -> None:
        if time.monotonic() > self.next_heartbeat:
            self.update(due_at=seconds_from_now(READER_LEASE_SECONDS))
            self.next_heartbeat = time.monotonic() + READER_LEASE_SECONDS / 4


class ReadBack(ReaderLease):
    """One read for several chunks of an operation."""

    def __init__(self, operation: Operation, *, by_task: bool = False) -> None:
        super().__init__(operation)
        self.by_task = by_task
        self.targets: dict[int, list[str]] = defaultdict(list)
        self.stood_before: Standing = {}

    def lease(self, limit: int) -> bool:
        leased = self.lease_rows(chunks_to_read_back(by_task=self.by_task), limit)
        unknown = Target.objects.filter(chunk__in=self.tokens, state=State.UNKNOWN)
        for chunk_id, target_id in unknown.values_list("chunk", "target_id"):
            self.targets[chunk_id].append(target_id)
        return leased

    def inventory_before_loss(self) -> Standing:
        """Return the inventory's states from before chunks were sent whose sender died.

        The state that the sender read itself was lost with it.
        """
        lost = list(self.own_chunks().filter(error_code=SENDER_LOST))
        sent = [chunk.sent_at for chunk in lost if chunk.sent_at]
        if not sent:
            return {}
        ids = [id for chunk in lost for id in self.targets[chunk.pk]]
        inventory = get_verb(self.operation.verb).inventory
        return inventory.standing(ids, self.operation, before=min(sent))

    def ids(self) -> list[str]:
        return [id for ids in self.targets.values() for id in ids]

    def postpone(self, error: IotdaError) -> None:
        """Read the chunks later. If a limit for pages ended the read, raise `error`.

        Then they stay due: the worker, which has no such limit, reads them at once.
        """
        if error.busy:
            self.update(due_at=timezone.now())
            raise error
        self.update(
            due_at=seconds_from_now(RETRY_SECONDS), error_message=error.message[:512]
        )

    def record(self, found: Standing) -> None:
        """Record the outcomes that the read shows, except of chunks taken over meanwhile.

        `found` tells for each target whether it is as the operation requested.
        """
        with audited_transaction():
            operation = lock_operation(self.operation.pk)
            buffer = OutcomeBuffer(operation)
            for chunk in self.own_chunks().select_for_update():
                self.reconcile_chunk(chunk, found, buffer)
            buffer.write()
            finish_operation(operation)

    def reconcile_chunk(
        self, chunk: Chunk, found: Standing, buffer: OutcomeBuffer
    ) -> None:
        ids = self.targets[chunk.pk]
        known = set(ids) & found.keys()
        known -= also_targeted(chunk, ids, MAY_STILL_CHANGE)
        changed = also_targeted(chunk, known, LATER & Q(state=State.OK))
        outcomes = {
            id: CHANGED_LATER if id in changed else FOUND_APPLIED
            for id in known
            if id in changed or found[id]
        }
        missing = known - outcomes.keys()
        columns: dict[str, Any] = {"state": ChunkState.DONE}
        if len(known) < len(ids):
            columns = {"due_at": seconds_from_now(RETRY_SECONDS)}
        elif missing and chunk.misses + 1 < READS_NEEDED:
            columns = {
                "due_at": seconds_from_now(settings.READ_BACK_GAP),
                "misses": chunk.misses + 1,
            }
        elif missing:
            resend = requeue_targets(chunk, missing)
            outcomes |= dict.fromkeys(missing - resend, FOUND_UNCHANGED)
            if resend:
                pending = ChunkState.PENDING
                columns = {"state": pending, "due_at": timezone.now(), "misses": 0}
        Chunk.objects.filter(pk=chunk.pk).update(**columns)
        self.add_outcomes(chunk, outcomes, buffer)

    def add_outcomes(
        self, chunk: Chunk, outcomes: Outcomes, buffer: OutcomeBuffer
    ) -> None:
        names, stood_before = {}, {}
        for id, name, stood in chunk.targets.values_list(
            "target_id", "name", "stood_before"
        ):
            names[id], stood_before[id] = name, self.stood_before.get(id, stood)
        outcomes = mark_already(outcomes, stood_before)
        buffer.add(chunk, outcomes)
        if outcomes:
            record_chunk_event("chunk.settled", chunk, outcomes, names)


def requeue_targets(chunk: Chunk, missing: set[str]) -> set[str]:
    """Set targets to pending that can be sent again; return them.

    Only if the sender died, so that IoTDA may never have received the request, and no
    later operation has the target.
    """
    if chunk.error_code != SENDER_LOST or chunk.attempts >= MAX_ATTEMPTS:
        return set()
    resend = missing - also_targeted(chunk, missing, LATER)
    chunk.targets.filter(among("target_id", resend), state=State.UNKNOWN).update(
        state=State.PENDING
    )
    return resend


def also_targeted(chunk: Chunk, ids: Collection[str], others: Q) -> set[str]:
    """Return the targets that other operations, those matching `others`, have as well."""
    # Not by chunk: PostgreSQL would read all 30,000 targets of a large one for each.
    own = chunk.operation.targets.filter(among("target_id", ids))
    return set(
        own.filter(Exists(targets_of_same_subject(others))).values_list(
            "target_id", flat=True
        )
    )


def targets_of_same_subject(others: Q) -> QuerySet[Target]:
    """Return the subquery of the targets, matching `others`, with a target's subject."""
    return Target.objects.filter(
        others, target_id=OuterRef("target_id"), subject=OuterRef("subject")
    )
