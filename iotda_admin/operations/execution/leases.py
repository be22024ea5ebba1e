"""Who may send what: chunks are claimed, kept alive, handed back, all by rows of the database.

A claim commits the chunk as sent before the call is made. It holds a lease; whoever takes the chunk over
after it raises the fencing token, and what the earlier holder says then is void.
"""

import random
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
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
# So many calls in a row without a proper answer, and an operation goes on with one chunk at a time.
OUTAGE_STRIKES = 3
# A look at all operations serves the claims of so many seconds.
SCHEDULE_SECONDS = 0.3
# Of a chunk that is sent, the trail names so many targets: all of a bind.
IDS_IN_EVENT = 20
# Operations that share one claim; the next claim may draw others.
OPERATIONS_PER_LEASE = 32


@dataclass(slots=True)
class LeasedChunk:
    """A chunk that is committed as sent, by us."""

    chunk: Chunk
    request: VerbRequest
    # By this process's own clock: beyond it somebody else may have taken over, so nothing is sent any more.
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
    """An operation of which more may be sent, and the spaces in which its actor may act; None: in all."""

    operation: Operation
    spaces: frozenset[str] | None = None


def lease_seconds(calls: int = 1) -> float:
    """Each call may wait for its turn, and then for its answer. A crew prolongs its leases as it goes."""
    return calls * 2 * settings.IOTDA_DEADLINE + 5


def lease_expiry(seconds: float) -> Combinable:
    """By the database's clock, which is the same for all: of two machines, one's may be wrong."""
    return Now() + timedelta(seconds=seconds)


class Schedule:
    """The running operations with something due, as they were a moment ago: a large one has hundreds of
    claims, and not each of them shall cost a look at all operations."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.fresh_until = 0.0

    def claim(self, limit: int, apart_from: Collection[int] = ()) -> list[LeasedChunk]:
        """Up to `limit` chunks whose time has come, of all running operations in turn."""
        if limit <= 0:
            return []
        looked = time.monotonic() > self.fresh_until
        if looked:
            self.look()
        claimed = lease_due_chunks(
            [each for each in self.operations if each.pk not in apart_from], limit
        )
        if len(claimed) < limit:
            self.fresh_until = 0.0
        return claimed if claimed or looked else self.claim(limit, apart_from)

    def look(self) -> None:
        self.operations = operations_with_due_chunks()
        self.fresh_until = time.monotonic() + SCHEDULE_SECONDS


def lease_due_chunks(operations: Sequence[Operation], limit: int) -> list[LeasedChunk]:
    with audited_transaction():
        allowed = [each for each in map(reauthorize, operations) if each]
        picked: list[Chunk] = []
        for each in allowed:
            picked += lock_due_chunks(
                each.operation, chunk_share(each.operation, -(-limit // len(allowed)))
            )
        return mark_sent(within_task_limit(picked[:limit]), allowed, lease_seconds())


def lease_chunk(chunk: Chunk) -> LeasedChunk | None:
    """This one chunk, for exactly one of those who ask."""
    operation = Operation.objects.get(pk=chunk.operation_id)
    with audited_transaction(durable=True):
        seconds = lease_seconds(get_verb(operation.verb).calls)
        allowed = reauthorize(operation)
        taken = mark_sent(lock_chunk(chunk), [allowed], seconds) if allowed else []
        return taken[0] if taken else None


def lease_new_chunk(
    chunk: Chunk, operation: Operation, spaces: frozenset[str] | None
) -> LeasedChunk:
    """Lease a chunk in the transaction that records it."""
    authorized = AuthorizedOperation(operation, spaces)
    seconds = lease_seconds(get_verb(operation.verb).calls)
    return mark_sent([chunk], [authorized], seconds)[0]


def operations_with_due_chunks() -> list[Operation]:
    now = timezone.now()
    chunks = Chunk.objects.filter(operation=OuterRef("pk"))
    due = chunks.filter(state=Chunk.State.PENDING, due_at__lte=now)
    free = Q(held_until=None) | Q(held_until__lte=now)
    running = Operation.objects.filter(free, Exists(due), state=Operation.State.RUNNING)
    found = list(
        running.annotate(answered=Exists(chunks.filter(state=Chunk.State.DONE)))
    )
    # Drawn by lot: nobody's operation waits for the end of a large one.
    return random.sample(found, min(len(found), OPERATIONS_PER_LEASE))


def reauthorize(operation: Operation) -> AuthorizedOperation | None:
    """Authorize the actor again before each claim; stop the operation if denied."""
    by_command = operation.source == "cli" and operation.actor_id is None
    user = (
        None if by_command else load_actor_user(operation.actor_id) or AnonymousUser()
    )
    decision = authorize(user, operation)
    if decision.allowed:
        return AuthorizedOperation(operation, decision.spaces)
    held = lock_operation(operation.pk)
    if held.running:
        reason = {
            "permission": _("%(who)s no longer has the right to do this."),
            "scope": _(
                "%(who)s may no longer change things in all of its resource spaces."
            ),
        }[decision.denied_by]
        stop_operation(held, NOT_ALLOWED, reason % {"who": held.actor_name})
    return None


def chunk_share(operation: Operation, fair: int) -> int:
    """One chunk alone goes first, and in an outage: what it meets, the others would have met as well."""
    return fair if operation.answered and operation.strikes < OUTAGE_STRIKES else 1  # type: ignore[attr-defined]


def lock_due_chunks(operation: Operation, share: int) -> list[Chunk]:
    # All conditions stand on the row itself: PostgreSQL checks those again once it has the lock, but not
    # a join. A stopped operation has no pending chunks.
    due = Chunk.objects.filter(
        operation=operation.pk, state=Chunk.State.PENDING, due_at__lte=timezone.now()
    ).order_by("number")
    return list(due.select_for_update(skip_locked=True)[:share])


def within_task_limit(picked: Sequence[Chunk]) -> list[Chunk]:
    """The platform runs so many batch tasks at once, in a resource space; ours may all be of one. The others
    wait here. Where two workers count at the same moment, the platform refuses one: it waits as well."""
    tasks = [chunk for chunk in picked if chunk.by_task]
    if tasks:
        begun = (Chunk.State.SENT, Chunk.State.UNKNOWN, Chunk.State.FOLLOWED)
        room = max(
            0,
            RUNNING_TASK_LIMIT
            - Chunk.objects.filter(by_task=True, state__in=begun).count(),
        )
        del tasks[:room]
    return [chunk for chunk in picked if chunk not in tasks]


def lock_chunk(chunk: Chunk) -> list[Chunk]:
    due = Chunk.objects.filter(
        pk=chunk.pk, state=Chunk.State.PENDING, due_at__lte=timezone.now()
    )
    return list(due.select_for_update(skip_locked=True))


def mark_sent(
    chunks: Sequence[Chunk], allowed: Sequence[AuthorizedOperation], seconds: float
) -> list[LeasedChunk]:
    """Write down that these locked chunks are sent."""
    if not chunks:
        return []
    pks = [chunk.pk for chunk in chunks]
    now, until = timezone.now(), time.monotonic() + seconds
    sent = {"state": Chunk.State.SENT, "sent_at": now}
    Chunk.objects.filter(pk__in=pks).update(
        token=F("token") + 1,
        attempts=F("attempts") + 1,
        lease_until=lease_expiry(seconds),
        **sent,
    )
    for chunk in chunks:
        chunk.token, chunk.attempts = chunk.token + 1, chunk.attempts + 1
        vars(chunk).update(sent)
    pending = Target.objects.filter(chunk__in=pks, state=State.PENDING)
    targets: dict[int, dict[str, bool | None]] = defaultdict(dict)
    names: dict[int, dict[str, str]] = defaultdict(dict)
    columns = ("chunk", "target_id", "name", "stood_before")
    for chunk_id, target_id, name, stood_before in pending.order_by("pk").values_list(
        *columns
    ):
        targets[chunk_id][target_id] = stood_before
        names[chunk_id][target_id] = name
    pending.update(state=State.SENT)
    by_operation = {each.operation.pk: each for each in allowed}
    for chunk in chunks:
        record_chunk_sent(
            chunk, by_operation[chunk.operation_id].operation, names[chunk.pk]
        )
    return [
        LeasedChunk(
            c,
            build_request(c, by_operation[c.operation_id], targets[c.pk]),
            until,
            names[c.pk],
        )
        for c in chunks
    ]


def record_chunk_sent(
    chunk: Chunk, operation: Operation, names: Mapping[str, str]
) -> None:
    # Of a batch task only the first ones: all of them stand in the events that tell how each ended.
    detail = {
        "targets": len(names),
        "ids": list(names)[:IDS_IN_EVENT],
        "by_task": chunk.by_task,
    }
    record_chunk_event("chunk.sent", operation, chunk, {}, names, detail=detail)


def build_request(
    chunk: Chunk, allowed: AuthorizedOperation, targets: Mapping[str, bool | None]
) -> VerbRequest:
    name = task_name(allowed.operation, chunk.number) if chunk.by_task else ""
    return VerbRequest(
        allowed.operation, targets, task_name=name, spaces=allowed.spaces
    )


def still_leased(sendings: Iterable[LeasedChunk]) -> QuerySet[Chunk]:
    mine = Q(pk__in=[])
    for sending in sendings:
        mine |= Q(pk=sending.chunk.pk, token=sending.chunk.token)
    return Chunk.objects.filter(mine, state=Chunk.State.SENT)


def heartbeat(sendings: Sequence[LeasedChunk]) -> None:
    """Prolong the leases of what is under way."""
    seconds = lease_seconds()
    until = time.monotonic() + seconds
    rows = still_leased(sendings)
    rows.update(lease_until=lease_expiry(seconds))
    ours = set(rows.values_list("pk", flat=True))
    for sending in sendings:
        if sending.chunk.pk not in ours:
            # What somebody has taken over is not sent any more, though its lease would still run.
            sending.valid_until = 0.0
    transaction.on_commit(lambda: confirm_leases(sendings, ours, until))


def confirm_leases(
    sendings: Sequence[LeasedChunk], ours: Collection[int], until: float
) -> None:
    """Only what is committed: else somebody takes over what we go on sending."""
    for sending in sendings:
        if sending.chunk.pk in ours:
            sending.valid_until = until


def requeue_unsent(sendings: Sequence[LeasedChunk]) -> None:
    """Not sent after all: for the next one who asks, as if it had not been claimed."""
    if not sendings:
        return
    with transaction.atomic():
        ours = list(
            still_leased(sendings).select_for_update().values_list("pk", flat=True)
        )
        Target.objects.filter(chunk__in=ours, state=State.SENT).update(
            state=State.PENDING
        )
        Chunk.objects.filter(pk__in=ours).update(
            state=Chunk.State.PENDING, attempts=F("attempts") - 1, lease_until=None
        )
