"""Leases chunks to processes: which process may send which chunk, kept in database rows.

Leasing commits the chunk as sent before the call is made. The process that takes a chunk
over after its lease has expired raises the fencing token; results with an earlier token
are ignored.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import inf

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from iotda_admin.access.scope import load_actor_user
from iotda_admin.core.bulk_sql import lock_rows, update_where
from iotda_admin.iotda import RUNNING_TASK_LIMIT
from iotda_admin.operations.audit_log import audited_transaction, record_chunk_event
from iotda_admin.operations.error_codes import NOT_ALLOWED
from iotda_admin.operations.execution.held_work import hold_old_work
from iotda_admin.operations.execution.lifecycle import lock_operation, stop_operation
from iotda_admin.operations.models import Chunk, ChunkState, Operation, Target
from iotda_admin.operations.permissions import Decision, authorize
from iotda_admin.operations.verbs import State, Verb, VerbRequest, get_verb, task_name

HEARTBEAT_SECONDS = 2.0
# After this many failed calls in a row, an operation sends one chunk at a time.
OUTAGE_STRIKES = 3
# How long a list of the operations with due chunks is used.
SCHEDULE_SECONDS = 0.3
# The event of a sent chunk names this many targets: all of a bind.
IDS_IN_EVENT = 20
# The most operations that share one lease transaction; the next one draws again.
OPERATIONS_PER_LEASE = 32


@dataclass(slots=True)
class LeasedChunk:
    """A chunk that this process has committed as sent."""

    chunk: Chunk
    request: VerbRequest
    # On this process's monotonic clock. Do not send it later: it may be taken over.
    valid_until: float
    names: dict[str, str]

    @property
    def operation(self) -> Operation:
        return self.request.operation

    @property
    def verb(self) -> Verb:
        return get_verb(self.operation.verb)


def lease_seconds(calls: int = 1) -> float:
    """Return how long a lease lasts: each call may wait for the limiter and the answer.

    A worker pool extends its leases while it runs.
    """
    return calls * 2 * settings.IOTDA_DEADLINE + 5


def lease_expiry(seconds: float) -> Combinable:
    """Return the end of a lease, by the database's clock: machines' clocks can differ."""
    return Now() + timedelta(seconds=seconds)


class Schedule:
    """The running operations with due chunks, cached for a moment.

    A large operation takes hundreds of lease transactions; not each searches the table.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.expires_at = 0.0

    @property
    def expired(self) -> bool:
        return time.monotonic() > self.expires_at

    def lease(self, limit: int, exclude: Collection[int] = ()) -> list[LeasedChunk]:
        """Lease up to `limit` due chunks, shared between the running operations."""
        if limit <= 0:
            return []
        if refreshed := self.expired:
            self.operations = operations_with_due_chunks()
            self.expires_at = time.monotonic() + SCHEDULE_SECONDS
        leased = lease_due_chunks(
            [each for each in self.operations if each.pk not in exclude], limit
        )
        if len(leased) < limit:
            self.expires_at = 0.0
        return leased if leased or refreshed else self.lease(limit, exclude)


def lease_due_chunks(operations: Sequence[Operation], limit: int) -> list[LeasedChunk]:
    """Lease up to `limit` due chunks of these operations, in equal shares."""
    with audited_transaction():
        decisions = {each: reauthorize(each) for each in operations}
        allowed = {each: by.spaces for each, by in decisions.items() if by.allowed}
        locked: list[Chunk] = []
        for operation in allowed:
            share = chunk_share(operation, -(-limit // len(allowed)))
            locked += lock_due_chunks(operation)[:share]
        return mark_sent(within_task_limit(locked[:limit]), allowed, lease_seconds())


def lease_chunk(chunk: Chunk) -> LeasedChunk | None:
    """Lease this chunk, unless another process has it."""
    hold_old_work()
    operation = Operation.objects.get(pk=chunk.operation_id)
    with audited_transaction(durable=True):
        decision = reauthorize(operation)
        own = lock_due_chunks(operation).filter(pk=chunk.pk).first()
        return lease_locked_chunk(own, decision) if own and decision.allowed else None


def lease_locked_chunk(chunk: Chunk, decision: Decision) -> LeasedChunk | None:
    """Lease one chunk in the transaction that has locked or recorded it.

    Return None if its operation was paused meanwhile.
    """
    seconds = lease_seconds(get_verb(chunk.operation.verb).calls)
    leased = mark_sent([chunk], {chunk.operation: decision.spaces}, seconds)
    return leased[0] if leased else None


def sendable_operations() -> QuerySet[Operation]:
    """Return the running operations that have due chunks and need not wait.

    The operation that another one waits for stops it, if it does not end well.
    """
    due = Chunk.objects.due(ChunkState.PENDING).filter(operation=OuterRef("pk"))
    return Operation.objects.filter(
        Q(after=None) | Q(after__finished_at__isnull=False),
        Exists(due.order_by()),
        state=Operation.State.RUNNING,
    ).exclude(waits_until__gt=timezone.now())


def work_waits() -> bool:
    """Whether a chunk can be sent: cheap, for an idle worker to ask often."""
    return sendable_operations().exists()


def operations_with_due_chunks() -> list[Operation]:
    """Return a random sample of the running operations that have due chunks.

    It is random so that no operation waits for the end of a large one.
    """
    done = Chunk.objects.filter(operation=OuterRef("pk"), state=ChunkState.DONE)
    # The targets of a split chunk have others now.
    answered = done.filter(Exists(Target.objects.filter(chunk=OuterRef("pk"))))
    found = sendable_operations().annotate(answered=Exists(answered))
    return list(found.order_by("?")[:OPERATIONS_PER_LEASE])


def seconds_until_due() -> float:
    """Until a chunk is to be sent or read again, or loses its lease; inf for never."""
    sent = Q(state=ChunkState.SENT)
    moments = Chunk.objects.filter(state__in=Chunk.OPEN).aggregate(
        due_at=Min("due_at", filter=~sent), lease_until=Min("lease_until", filter=sent)
    )
    first = min(filter(None, moments.values()), default=None)
    return (first - timezone.now()).total_seconds() if first else inf


def reauthorize(operation: Operation) -> Decision:
    """Authorize the actor again before each lease; stop the operation if denied."""
    by_command = operation.source == "cli" and operation.actor_id is None
    user = (
        None if by_command else load_actor_user(operation.actor_id) or AnonymousUser()
    )
    decision = authorize(user, operation)
    if not decision.allowed and (locked := lock_operation(operation.pk)).running:
        reason = (
            _("%(who)s no longer has access to all resource spaces of the targets.")
            if decision.denied_by == "scope"
            else _("%(who)s no longer has the permission for this.")
        )
        stop_operation(locked, NOT_ALLOWED, reason % {"who": locked.actor_name})
    return decision


def chunk_share(operation: Operation, share: int) -> int:
    """Return 1 for the first chunk and in an outage, else the share.

    An error of that one chunk is probably the error of all the others. After refusals, no
    more are in flight than pause the operation.
    """
    answered: bool = operation.answered  # type: ignore[attr-defined]
    if not answered or operation.strikes >= OUTAGE_STRIKES:
        return 1
    if (left := operation.refusals_left) is None:
        return share
    sent = operation.chunks.filter(state=ChunkState.SENT).count()
    return max(0, min(share, max(1, left) - sent))


def lock_due_chunks(operation: Operation) -> QuerySet[Chunk]:
    """Return due chunks, which the query locks, except those locked by others."""
    # All conditions are on the row itself: PostgreSQL checks those again once it has the
    # lock, but not a join. A stopped operation has no pending chunks.
    due = operation.chunks.due(ChunkState.PENDING).order_by("number")
    return due.select_for_update(skip_locked=True)


def within_task_limit(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Leave out the chunks for which IoTDA has no room among its running batch tasks.

    The limit is per resource space, and all our tasks may be in one. If two workers count
    at the same moment, IoTDA rejects one task, which then waits as well.
    """
    tasks = [chunk for chunk in chunks if chunk.by_task]
    if tasks:
        started = set(Chunk.OPEN) - {ChunkState.PENDING}
        running = Chunk.objects.filter(by_task=True, state__in=started).count()
        del tasks[: max(0, RUNNING_TASK_LIMIT - running)]
    return [chunk for chunk in chunks if chunk not in tasks]


def mark_sent(
    chunks: Sequence[Chunk],
    allowed: Mapping[Operation, frozenset[str] | None],
    seconds: float,
) -> list[LeasedChunk]:
    """Write that these locked chunks are sent, with a lease of so many seconds.

    `allowed` are their operations, with the spaces in which the actors may act.
    """
    if not chunks:
        return []
    valid_until = time.monotonic() + seconds
    chunks = mark_chunks_sent(chunks, seconds)
    leased = {}
    for chunk in chunks:
        operation = chunk.operation
        task = task_name(operation, chunk.number) if chunk.by_task else ""
        request = VerbRequest(
            operation,
            {},
            resent=chunk.attempts > 1,
            task_name=task,
            spaces=allowed[operation],
        )
        leased[chunk.pk] = LeasedChunk(chunk, request, valid_until, {})
    pending = Target.objects.filter(chunk__in=chunks, state=State.PENDING)
    columns = ("chunk", "target_id", "name", "stood_before")
    for pk, id, name, stood in pending.order_by("pk").values_list(*columns):
        leased[pk].names[id] = name
        leased[pk].request.stood_before[id] = stood
    update_where(Target, {"state": State.SENT}, chunk=list(leased), state=State.PENDING)
    for each in leased.values():
        record_chunk_sent(each.chunk, each.names)
    return list(leased.values())


def mark_chunks_sent(chunks: Sequence[Chunk], seconds: float) -> Sequence[Chunk]:
    """Return those that are sent now, without those of operations paused meanwhile.

    A pause locks the pending chunks: either it waits for this transaction, or it is
    committed and this statement sees it.
    """
    sent = {"state": ChunkState.SENT, "sent_at": timezone.now()}
    operations = {chunk.operation_id for chunk in chunks}
    running = Operation.objects.filter(
        pk__in=operations, state=Operation.State.RUNNING
    ).order_by()
    rows = Chunk.objects.filter(pk__in=[chunk.pk for chunk in chunks])
    updated = rows.filter(operation__in=running).update(
        token=F("token") + 1,
        attempts=F("attempts") + 1,
        lease_until=lease_expiry(seconds),
        **sent,
    )
    if updated < len(chunks):
        own = set(rows.filter(state=ChunkState.SENT).values_list("pk", flat=True))
        chunks = [chunk for chunk in chunks if chunk.pk in own]
    for chunk in chunks:
        chunk.token, chunk.attempts = chunk.token + 1, chunk.attempts + 1
        vars(chunk).update(sent)
    return chunks


def record_chunk_sent(chunk: Chunk, names: Mapping[str, str]) -> None:
    # Only the first targets of a batch task: the events of the outcomes name all of them.
    detail = {
        "targets": len(names),
        "ids": list(names)[:IDS_IN_EVENT],
        "by_task": chunk.by_task,
    }
    record_chunk_event("chunk.sent", chunk, {}, names, detail=detail)


def lock_still_leased(leased_chunks: Iterable[LeasedChunk]) -> set[int]:
    """Lock the chunks that no other process has taken over, and return their keys."""
    own = {
        (leased.chunk.pk, leased.chunk.token, ChunkState.SENT)
        for leased in leased_chunks
    }
    keys = [pk for pk, _token, _state in own]
    rows = lock_rows(Chunk, ["id", "token", "state"], keys)
    return {row[0] for row in own.intersection(rows)}


@transaction.atomic(savepoint=False)
def heartbeat(leased_chunks: Sequence[LeasedChunk]) -> None:
    """Extend the leases of the chunks in flight."""
    seconds = lease_seconds()
    valid_until = time.monotonic() + seconds
    own = lock_still_leased(leased_chunks)
    Chunk.objects.filter(pk__in=own).update(lease_until=lease_expiry(seconds))
    extended = [leased for leased in leased_chunks if leased.chunk.pk in own]
    for leased in leased_chunks:
        if leased.chunk.pk not in own:
            # Another worker took this chunk over; do not send it.
            leased.valid_until = 0.0

    def confirm() -> None:
        """Use the extended leases only once they are committed."""
        for leased in extended:
            leased.valid_until = valid_until

    transaction.on_commit(confirm)
