"""Leases chunks to processes: which process may send which chunk, kept in database rows.

Leasing commits the chunk as sent before the call is made. The process that takes a chunk
over after its lease has expired raises the fencing token; results with an earlier token
are ignored.
"""

import random
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from iotda_admin.iotda import RUNNING_TASK_LIMIT
from iotda_admin.operations.audit_log import audited_transaction, record_chunk_event
from iotda_admin.operations.error_codes import NOT_ALLOWED
from iotda_admin.operations.execution.lifecycle import lock_operation, stop_operation
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.permissions import authorize
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
    valid_until: float = field(default=0.0)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def operation(self) -> Operation:
        return self.request.operation

    @property
    def verb(self) -> Verb:
        return get_verb(self.operation.verb)


@dataclass(frozen=True, slots=True)
class AuthorizedOperation:
    """An operation whose actor still has the permission.

    `spaces` are the resource spaces where the actor may act; None means all.
    """

    operation: Operation
    spaces: frozenset[str] | None = None


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

    def lease(self, limit: int, exclude: Collection[int] = ()) -> list[LeasedChunk]:
        """Lease up to `limit` due chunks, shared between the running operations."""
        if limit <= 0:
            return []
        refreshed = time.monotonic() > self.expires_at
        if refreshed:
            self.refresh()
        leased = lease_due_chunks(
            [each for each in self.operations if each.pk not in exclude], limit
        )
        if len(leased) < limit:
            self.expires_at = 0.0
        return leased if leased or refreshed else self.lease(limit, exclude)

    def refresh(self) -> None:
        self.operations = operations_with_due_chunks()
        self.expires_at = time.monotonic() + SCHEDULE_SECONDS


def lease_due_chunks(operations: Sequence[Operation], limit: int) -> list[LeasedChunk]:
    """Lease up to `limit` due chunks of these operations, in equal shares."""
    with audited_transaction():
        authorized = [each for each in map(reauthorize, operations) if each]
        locked: list[Chunk] = []
        for each in authorized:
            share = chunk_share(each.operation, -(-limit // len(authorized)))
            locked += lock_due_chunks(each.operation, share)
        return mark_sent(within_task_limit(locked[:limit]), authorized, lease_seconds())


def lease_chunk(chunk: Chunk) -> LeasedChunk | None:
    """Lease this chunk, unless another process has it."""
    operation = Operation.objects.get(pk=chunk.operation_id)
    with audited_transaction(durable=True):
        seconds = lease_seconds(get_verb(operation.verb).calls)
        authorized = reauthorize(operation)
        leased = (
            mark_sent(lock_chunk(chunk), [authorized], seconds) if authorized else []
        )
        return leased[0] if leased else None


def lease_new_chunk(
    chunk: Chunk, operation: Operation, spaces: frozenset[str] | None
) -> LeasedChunk:
    """Lease a chunk in the transaction that records it."""
    authorized = AuthorizedOperation(operation, spaces)
    seconds = lease_seconds(get_verb(operation.verb).calls)
    return mark_sent([chunk], [authorized], seconds)[0]


def work_waits() -> bool:
    """Whether a chunk can be sent: cheap, for an idle worker to ask often."""
    now = timezone.now()
    free = Q(operation__held_until=None) | Q(operation__held_until__lte=now)
    due = Chunk.objects.filter(free, state=Chunk.State.PENDING, due_at__lte=now)
    return due.filter(operation__state=Operation.State.RUNNING).exists()


def seconds_until_due() -> float:
    """Until a chunk is to be sent or read again, or loses its lease; inf for never."""
    sent = Q(state=Chunk.State.SENT)
    moments = Chunk.objects.filter(state__in=Chunk.OPEN).aggregate(
        due_at=Min("due_at", filter=~sent), lease_until=Min("lease_until", filter=sent)
    )
    now = timezone.now()
    return min(
        ((moment - now).total_seconds() for moment in moments.values() if moment),
        default=inf,
    )


def operations_with_due_chunks() -> list[Operation]:
    """Return a random sample of the running operations that have due chunks.

    It is random so that no operation waits for the end of a large one.
    """
    now = timezone.now()
    chunks = Chunk.objects.filter(operation=OuterRef("pk"))
    due = chunks.filter(state=Chunk.State.PENDING, due_at__lte=now)
    not_held = Q(held_until=None) | Q(held_until__lte=now)
    running = Operation.objects.filter(
        not_held, Exists(due), state=Operation.State.RUNNING
    )
    found = list(
        running.annotate(answered=Exists(chunks.filter(state=Chunk.State.DONE)))
    )
    return random.sample(found, min(len(found), OPERATIONS_PER_LEASE))


def reauthorize(operation: Operation) -> AuthorizedOperation | None:
    """Authorize the actor again before each lease; stop the operation if denied."""
    by_command = operation.source == "cli" and operation.actor_id is None
    user = (
        None if by_command else load_actor_user(operation.actor_id) or AnonymousUser()
    )
    decision = authorize(user, operation)
    if decision.allowed:
        return AuthorizedOperation(operation, decision.spaces)
    locked = lock_operation(operation.pk)
    if locked.running:
        reason = {
            "permission": _("%(who)s no longer has the permission for this."),
            "scope": _(
                "%(who)s no longer has access to all resource spaces of the targets."
            ),
        }[decision.denied_by]
        stop_operation(locked, NOT_ALLOWED, reason % {"who": locked.actor_name})
    return None


def chunk_share(operation: Operation, share: int) -> int:
    """Return 1 for the first chunk and in an outage, else the share.

    An error of that one chunk is probably the error of all the others.
    """
    answered: bool = operation.answered  # type: ignore[attr-defined]
    return share if answered and operation.strikes < OUTAGE_STRIKES else 1


def lock_due_chunks(operation: Operation, limit: int) -> list[Chunk]:
    """Lock due chunks that no other process has locked."""
    # All conditions are on the row itself: PostgreSQL checks those again once it has the
    # lock, but not a join. A stopped operation has no pending chunks.
    due = Chunk.objects.filter(
        operation=operation.pk, state=Chunk.State.PENDING, due_at__lte=timezone.now()
    ).order_by("number")
    return list(due.select_for_update(skip_locked=True)[:limit])


def within_task_limit(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Leave out the chunks for which IoTDA has no room among its running batch tasks.

    The limit is per resource space, and all our tasks may be in one. If two workers count
    at the same moment, IoTDA rejects one task, which then waits as well.
    """
    tasks = [chunk for chunk in chunks if chunk.by_task]
    if tasks:
        started = (Chunk.State.SENT, Chunk.State.UNKNOWN, Chunk.State.FOLLOWED)
        running = Chunk.objects.filter(by_task=True, state__in=started).count()
        del tasks[: max(0, RUNNING_TASK_LIMIT - running)]
    return [chunk for chunk in chunks if chunk not in tasks]


def lock_chunk(chunk: Chunk) -> list[Chunk]:
    due = Chunk.objects.filter(
        pk=chunk.pk, state=Chunk.State.PENDING, due_at__lte=timezone.now()
    )
    return list(due.select_for_update(skip_locked=True))


def mark_sent(
    chunks: Sequence[Chunk], authorized: Sequence[AuthorizedOperation], seconds: float
) -> list[LeasedChunk]:
    """Write that these locked chunks are sent, with a lease of so many seconds."""
    if not chunks:
        return []
    valid_until = time.monotonic() + seconds
    mark_chunks_sent(chunks, seconds)
    targets = mark_targets_sent(chunks)
    by_operation = {each.operation.pk: each for each in authorized}
    leased = []
    for chunk in chunks:
        own = targets[chunk.pk]
        names = {id: name for id, name, _stood_before in own}
        states = {id: stood_before for id, _name, stood_before in own}
        request = build_request(chunk, by_operation[chunk.operation_id], states)
        record_chunk_sent(chunk, request.operation, names)
        leased.append(LeasedChunk(chunk, request, valid_until, names))
    return leased


def mark_chunks_sent(chunks: Sequence[Chunk], seconds: float) -> None:
    sent = {"state": Chunk.State.SENT, "sent_at": timezone.now()}
    Chunk.objects.filter(pk__in=[chunk.pk for chunk in chunks]).update(
        token=F("token") + 1,
        attempts=F("attempts") + 1,
        lease_until=lease_expiry(seconds),
        **sent,
    )
    for chunk in chunks:
        chunk.token, chunk.attempts = chunk.token + 1, chunk.attempts + 1
        vars(chunk).update(sent)


def mark_targets_sent(
    chunks: Sequence[Chunk],
) -> Mapping[int, list[tuple[str, str, bool | None]]]:
    """Return the id, name and earlier state of the sent targets, by chunk."""
    pending = Target.objects.filter(chunk__in=chunks, state=State.PENDING)
    targets: dict[int, list[tuple[str, str, bool | None]]] = defaultdict(list)
    columns = ("chunk", "target_id", "name", "stood_before")
    for chunk_id, *target in pending.order_by("pk").values_list(*columns):
        targets[chunk_id].append(tuple(target))
    pending.update(state=State.SENT)
    return targets


def record_chunk_sent(
    chunk: Chunk, operation: Operation, names: Mapping[str, str]
) -> None:
    # Only the first targets of a batch task: the events of the outcomes name all of them.
    detail = {
        "targets": len(names),
        "ids": list(names)[:IDS_IN_EVENT],
        "by_task": chunk.by_task,
    }
    record_chunk_event("chunk.sent", operation, chunk, {}, names, detail=detail)


def build_request(
    chunk: Chunk, authorized: AuthorizedOperation, targets: Mapping[str, bool | None]
) -> VerbRequest:
    operation = authorized.operation
    name = task_name(operation, chunk.number) if chunk.by_task else ""
    return VerbRequest(operation, targets, task_name=name, spaces=authorized.spaces)


def still_leased(leased_chunks: Iterable[LeasedChunk]) -> QuerySet[Chunk]:
    """Return the chunks that no other process has taken over."""
    own = Q(pk__in=[])
    for leased in leased_chunks:
        own |= Q(pk=leased.chunk.pk, token=leased.chunk.token)
    return Chunk.objects.filter(own, state=Chunk.State.SENT)


def heartbeat(leased_chunks: Sequence[LeasedChunk]) -> None:
    """Extend the leases of the chunks in flight."""
    seconds = lease_seconds()
    valid_until = time.monotonic() + seconds
    rows = still_leased(leased_chunks)
    rows.update(lease_until=lease_expiry(seconds))
    own = set(rows.values_list("pk", flat=True))
    for leased in leased_chunks:
        if leased.chunk.pk not in own:
            # Another worker took this chunk over; do not send it.
            leased.valid_until = 0.0
    transaction.on_commit(lambda: confirm_leases(leased_chunks, own, valid_until))


def confirm_leases(
    leased_chunks: Sequence[LeasedChunk], own: Collection[int], valid_until: float
) -> None:
    """Use the extended leases only once they are committed."""
    for leased in leased_chunks:
        if leased.chunk.pk in own:
            leased.valid_until = valid_until


def requeue_unsent(leased_chunks: Sequence[LeasedChunk]) -> None:
    """Undo the lease of chunks that were not sent; it does not count as an attempt."""
    if not leased_chunks:
        return
    with transaction.atomic():
        rows = still_leased(leased_chunks).select_for_update()
        own = list(rows.values_list("pk", flat=True))
        Target.objects.filter(chunk__in=own, state=State.SENT).update(
            state=State.PENDING
        )
        Chunk.objects.filter(pk__in=own).update(
            state=Chunk.State.PENDING, attempts=F("attempts") - 1, lease_until=None
        )
