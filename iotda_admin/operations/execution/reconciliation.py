"""Finds out what unanswered calls did: reads IoTDA back, then records the outcomes.

Nothing is sent again unless IoTDA shows that it was not applied and no other change of
the target was requested since.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import batched
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from iotda_admin.core.bulk_sql import update_rows, values_subquery
from iotda_admin.iotda import Client, IotdaError
from iotda_admin.operations.audit_log import (
    TARGETS_PER_EVENT,
    audited_transaction,
    record_chunk_event,
)
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
    seconds_from_now,
)
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.verbs import State, TargetOutcome, VerbRequest, get_verb
from iotda_admin.rate.connection import client as configured_client

log = logging.getLogger(__name__)

# A change counts as not applied after this many reads, because IoTDA's lists can lag.
READS_NEEDED = 2
RETRY_SECONDS = 15
# Another process takes a chunk over whose reader has sent no heartbeat for this long.
READER_LEASE_SECONDS = 60
# The most chunks that one read serves: a policy's targets are listed once for all of them.
CHUNKS_PER_READ = 200
# Targets of other operations that may still change, except those that stay unknown.
MAY_STILL_CHANGE = Q(state__in=[State.PENDING, State.SENT, State.UNKNOWN]) & ~Q(
    error_code=CHANGED_SINCE
)
LATER = Q(pk__gt=OuterRef("pk"))
# A later operation changed the target, so IoTDA no longer shows what this one did.
CHANGED_LATER = TargetOutcome(State.UNKNOWN, CHANGED_SINCE)
FOUND_UNCHANGED = TargetOutcome(State.FAILED, NOT_APPLIED)


def recover_stalled() -> None:
    """Move on what has stalled. The worker runs this every second."""
    expire_leases()
    finish_completed()


def expire_leases() -> None:
    """Mark chunks unknown whose sender has died: IoTDA may or may not have applied them."""
    expired = Chunk.objects.filter(state=Chunk.State.SENT, lease_until__lt=Now())
    for operation_id in sorted(set(expired.values_list("operation", flat=True))):
        with audited_transaction():
            operation = lock_operation(operation_id)
            lost = list(expired.filter(operation=operation_id).select_for_update())
            for chunk in lost:
                record_sender_lost(chunk, operation)
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
        log.warning("OP-%s: %d leases expired, reading back", operation_id, len(lost))


def record_sender_lost(chunk: Chunk, operation: Operation) -> None:
    sent = Target.objects.filter(chunk=chunk, state=State.SENT).order_by("pk")
    unknown = TargetOutcome(State.UNKNOWN, SENDER_LOST)
    rows = sent.values_list("target_id", "name")
    for group in batched(rows, TARGETS_PER_EVENT):
        names = dict(group)
        outcomes = dict.fromkeys(names, unknown)
        record_chunk_event("chunk.unanswered", operation, chunk, outcomes, names)


def finish_completed() -> None:
    """Finish operations without open chunks.

    A process that records the last answer does not finish the operation while it holds
    another chunk of it. It may then die, and that chunk is reconciled elsewhere.
    """
    open_chunks = Chunk.objects.filter(operation=OuterRef("pk"), state__in=Chunk.OPEN)
    completed = Operation.objects.filter(
        ~Exists(open_chunks), state=Operation.State.RUNNING
    )
    for operation_id in completed.values_list("pk", flat=True)[:100]:
        with audited_transaction():
            finish_operation(lock_operation(operation_id))


def chunks_to_read_back(*, by_task: bool = False) -> QuerySet[Chunk]:
    unknown = Chunk.objects.filter(state=Chunk.State.UNKNOWN, by_task=by_task)
    return unknown.filter(due_at__lte=timezone.now()).order_by("due_at")


def reconcile_due(client: Client | None = None) -> None:
    """Read back all chunks that are due. The worker runs this every second."""
    due = chunks_to_read_back().values_list("operation", flat=True)
    for operation_id in dict.fromkeys(due):
        reconcile_operation(operation_id, client or configured_client())


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
    with transaction.atomic():
        lock_operation(operation_id)
        verb.inventory.store(request.seen)
    read.record(found)


class ReadBack:
    """One read for several chunks of an operation, which only this process reads."""

    def __init__(self, operation: Operation, *, by_task: bool = False) -> None:
        self.operation, self.by_task = operation, by_task
        self.tokens: dict[int, int] = {}
        self.targets: dict[int, list[str]] = defaultdict(list)
        self.stood_before: Mapping[str, bool] = {}
        self.next_heartbeat = time.monotonic() + READER_LEASE_SECONDS / 4

    def lease(self, limit: int) -> bool:
        """Lease up to `limit` due chunks; return False if there are none."""
        with transaction.atomic():
            due = chunks_to_read_back(by_task=self.by_task)
            rows = due.filter(operation=self.operation).select_for_update(
                skip_locked=True
            )
            self.tokens = {
                pk: token + 1 for pk, token in rows.values_list("pk", "token")[:limit]
            }
            Chunk.objects.filter(pk__in=self.tokens).update(
                token=F("token") + 1, due_at=seconds_from_now(READER_LEASE_SECONDS)
            )
        unknown = Target.objects.filter(chunk__in=self.tokens, state=State.UNKNOWN)
        for chunk_id, target_id in unknown.values_list("chunk", "target_id"):
            self.targets[chunk_id].append(target_id)
        return bool(self.tokens)

    def inventory_before_loss(self) -> Mapping[str, bool]:
        """Return the inventory's states from before chunks were sent whose sender died.

        The state that the sender read itself was lost with it.
        """
        rows = self.own_chunks().filter(error_code=SENDER_LOST)
        lost = dict(rows.values_list("pk", "sent_at"))
        sent = [sent_at for sent_at in lost.values() if sent_at]
        if not sent:
            return {}
        ids = [id for pk in lost for id in self.targets[pk]]
        inventory = get_verb(self.operation.verb).inventory
        return inventory.standing(ids, self.operation, before=min(sent))

    def ids(self) -> list[str]:
        return [id for ids in self.targets.values() for id in ids]

    def own_chunks(self) -> QuerySet[Chunk]:
        """Return the chunks that no other reader has taken over."""
        own = Q(pk__in=[])
        for pk, token in self.tokens.items():
            own |= Q(pk=pk, token=token)
        return Chunk.objects.filter(own, state=Chunk.State.UNKNOWN)

    def heartbeat(self) -> None:
        if time.monotonic() > self.next_heartbeat:
            self.own_chunks().update(due_at=seconds_from_now(READER_LEASE_SECONDS))
            self.next_heartbeat = time.monotonic() + READER_LEASE_SECONDS / 4

    def postpone(self, error: IotdaError) -> None:
        self.own_chunks().update(
            due_at=seconds_from_now(RETRY_SECONDS), error_message=error.message[:512]
        )

    def record(self, found: Mapping[str, bool]) -> None:
        """Record the outcomes that the read shows, except of chunks taken over meanwhile.

        `found` tells for each target whether it is as the operation requested.
        """
        with audited_transaction():
            operation = lock_operation(self.operation.pk)
            buffer = OutcomeBuffer(operation)
            for chunk in self.own_chunks().select_for_update():
                self.reconcile_chunk(chunk, found, buffer)
            buffer.write()
            if not operation.running:
                skip_pending(operation)
            finish_operation(operation)

    def reconcile_chunk(
        self, chunk: Chunk, found: Mapping[str, bool], buffer: OutcomeBuffer
    ) -> None:
        ids = self.targets[chunk.pk]
        known = set(ids) & found.keys()
        known -= also_targeted(chunk, ids, LATER & MAY_STILL_CHANGE)
        known -= in_flight_elsewhere(chunk, ids)
        changed = also_targeted(chunk, known, LATER & Q(state=State.OK))
        outcomes = dict.fromkeys(changed, CHANGED_LATER)
        outcomes |= {
            id: TargetOutcome(State.OK)
            for id in known
            if found[id] and id not in outcomes
        }
        missing = known - outcomes.keys()
        columns: dict[str, Any] = {"state": Chunk.State.DONE}
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
                pending = Chunk.State.PENDING
                columns = {"state": pending, "due_at": timezone.now(), "misses": 0}
        Chunk.objects.filter(pk=chunk.pk).update(**columns)
        self.add_outcomes(chunk, outcomes, buffer)

    def add_outcomes(
        self, chunk: Chunk, outcomes: dict[str, TargetOutcome], buffer: OutcomeBuffer
    ) -> None:
        rows = list(chunk.targets.values_list("target_id", "name", "stood_before"))
        stood_before = {id: stood for id, _name, stood in rows} | dict(
            self.stood_before
        )
        outcomes = mark_already(outcomes, stood_before)
        buffer.add(chunk, outcomes)
        if outcomes:
            names = {id: name for id, name, _stood in rows}
            record_chunk_event(
                "chunk.settled", buffer.operation, chunk, outcomes, names
            )


def requeue_targets(chunk: Chunk, missing: set[str]) -> set[str]:
    """Set targets to pending that can be sent again; return them.

    Only if the sender died, so that IoTDA may never have received the request, and no
    later operation has the target.
    """
    if not may_resend(chunk):
        return set()
    resend = missing - also_targeted(chunk, missing, LATER)
    unknown = chunk.targets.filter(state=State.UNKNOWN).values_list("pk", "target_id")
    if resend:
        update_rows(
            Target,
            ["state"],
            [(State.PENDING, pk) for pk, id in unknown if id in resend],
        )
    return resend


def may_resend(chunk: Chunk) -> bool:
    return chunk.error_code == SENDER_LOST and chunk.attempts < MAX_ATTEMPTS


def also_targeted(chunk: Chunk, ids: Collection[str], others: Q) -> set[str]:
    """Return the targets that other operations, those matching `others`, have as well."""
    rows = Target.objects.filter(
        others, target_id=OuterRef("target_id"), subject=OuterRef("subject")
    )
    # Not by chunk: PostgreSQL would read all 30,000 targets of a large one for each.
    own = Target.objects.filter(
        operation=chunk.operation_id, target_id__in=values_subquery(list(ids))
    )
    return set(own.filter(Exists(rows)).values_list("target_id", flat=True))


def in_flight_elsewhere(chunk: Chunk, ids: Collection[str]) -> set[str]:
    """Return the targets that another operation may change, even an earlier one.

    An earlier operation's batch task can be found again.
    """
    others = Q(state__in=Target.IN_FLIGHT) & ~Q(pk=OuterRef("pk"))
    return also_targeted(chunk, ids, others)
