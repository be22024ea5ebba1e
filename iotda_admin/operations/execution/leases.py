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
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from iotda_admin.access.scope import load_actor_user, user_spaces
from iotda_admin.iotda import RUNNING_TASK_LIMIT
from iotda_admin.operations.audit_log import chunk_event, writing
from iotda_admin.operations.error_codes import NOT_ALLOWED
from iotda_admin.operations.execution.lifecycle import hold, stop
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.permissions import covers_operation
from iotda_admin.operations.verbs import State, Verb, VerbRequest, get_verb, task_name

BEAT_SECONDS = 2.0
# So many calls in a row without a proper answer, and an operation goes on with one chunk at a time.
STRIKES = 3
# A look at all operations serves the claims of so many seconds.
FRESH_SECONDS = 0.3
# Of a chunk that is sent, the trail names so many targets: all of a bind.
NAMED_WHEN_SENT = 20
# Operations that share one claim; the next claim may draw others.
OPERATIONS_TOGETHER = 32


@dataclass(slots=True)
class Sending:
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
class Allowed:
    """An operation of which more may be sent, and the spaces in which its actor may act; None: in all."""

    operation: Operation
    spaces: frozenset[str] | None = None


def lease_seconds(calls: int = 1) -> float:
    """Each call may wait for its turn, and then for its answer. A crew prolongs its leases as it goes."""
    return calls * 2 * settings.IOTDA_DEADLINE + 5


def leased(seconds: float) -> Combinable:
    """By the database's clock, which is the same for all: of two machines, one's may be wrong."""
    return Now() + timedelta(seconds=seconds)


class Agenda:
    """The running operations with something due, as they were a moment ago: a large one has hundreds of
    claims, and not each of them shall cost a look at all operations."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.fresh_until = 0.0

    def claim(self, limit: int, apart_from: Collection[int] = ()) -> list[Sending]:
        """Up to `limit` chunks whose time has come, of all running operations in turn."""
        if limit <= 0:
            return []
        looked = time.monotonic() > self.fresh_until
        if looked:
            self.look()
        claimed = claim_due(
            [each for each in self.operations if each.pk not in apart_from], limit
        )
        if len(claimed) < limit:
            self.fresh_until = 0.0
        return claimed if claimed or looked else self.claim(limit, apart_from)

    def look(self) -> None:
        self.operations = with_something_due()
        self.fresh_until = time.monotonic() + FRESH_SECONDS


def claim_due(operations: Sequence[Operation], limit: int) -> list[Sending]:
    with writing():
        allowed = [each for each in map(still_allowed, operations) if each]
        picked: list[Chunk] = []
        for each in allowed:
            picked += pick(
                each.operation, share(each.operation, -(-limit // len(allowed)))
            )
        return take(with_room(picked[:limit]), allowed, lease_seconds())


def claim(chunk: Chunk) -> Sending | None:
    """This one chunk, for exactly one of those who ask."""
    operation = Operation.objects.get(pk=chunk.operation_id)
    with writing(durable=True):
        seconds = lease_seconds(get_verb(operation.verb).calls)
        allowed = still_allowed(operation)
        taken = take(lock(chunk), [allowed], seconds) if allowed else []
        return taken[0] if taken else None


def with_something_due() -> list[Operation]:
    now = timezone.now()
    chunks = Chunk.objects.filter(operation=OuterRef("pk"))
    due = chunks.filter(state=Chunk.State.PENDING, due_at__lte=now)
    free = Q(held_until=None) | Q(held_until__lte=now)
    running = Operation.objects.filter(free, Exists(due), state=Operation.State.RUNNING)
    found = list(
        running.annotate(answered=Exists(chunks.filter(state=Chunk.State.DONE)))
    )
    # Drawn by lot: nobody's operation waits for the end of a large one.
    return random.sample(found, min(len(found), OPERATIONS_TOGETHER))


def still_allowed(operation: Operation) -> Allowed | None:
    """The actor's rights and spaces are looked at again for each claim; without them the rest is not sent."""
    permission = get_verb(operation.verb).permission(operation.target_type)
    by_command = operation.source == "cli" and operation.actor_id is None
    actor = load_actor_user(operation.actor_id)
    may = by_command or bool(actor and actor.has_perm(permission))
    if by_command:
        return Allowed(operation)
    if actor and may and covers_operation(actor, operation):
        return Allowed(operation, user_spaces(actor))
    held = hold(operation.pk)
    if held.running:
        lost = _("%(who)s may no longer change things in all of its resource spaces.")
        lost = lost if may else _("%(who)s no longer has the right to do this.")
        stop(held, NOT_ALLOWED, lost % {"who": held.actor_name})
    return None


def share(operation: Operation, fair: int) -> int:
    """One chunk alone goes first, and in an outage: what it meets, the others would have met as well."""
    return fair if operation.answered and operation.strikes < STRIKES else 1  # type: ignore[attr-defined]


def pick(operation: Operation, share: int) -> list[Chunk]:
    # All conditions stand on the row itself: PostgreSQL checks those again once it has the lock, but not
    # a join. A stopped operation has no pending chunks.
    due = Chunk.objects.filter(
        operation=operation.pk, state=Chunk.State.PENDING, due_at__lte=timezone.now()
    ).order_by("number")
    return list(due.select_for_update(skip_locked=True)[:share])


def with_room(picked: Sequence[Chunk]) -> list[Chunk]:
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


def lock(chunk: Chunk) -> list[Chunk]:
    due = Chunk.objects.filter(
        pk=chunk.pk, state=Chunk.State.PENDING, due_at__lte=timezone.now()
    )
    return list(due.select_for_update(skip_locked=True))


def take(
    chunks: Sequence[Chunk], allowed: Sequence[Allowed], seconds: float
) -> list[Sending]:
    """Write down that these locked chunks are sent."""
    if not chunks:
        return []
    pks = [chunk.pk for chunk in chunks]
    now, until = timezone.now(), time.monotonic() + seconds
    sent = {"state": Chunk.State.SENT, "sent_at": now}
    Chunk.objects.filter(pk__in=pks).update(
        token=F("token") + 1,
        attempts=F("attempts") + 1,
        lease_until=leased(seconds),
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
        record_sent(chunk, by_operation[chunk.operation_id].operation, names[chunk.pk])
    return [
        Sending(
            c,
            request_for(c, by_operation[c.operation_id], targets[c.pk]),
            until,
            names[c.pk],
        )
        for c in chunks
    ]


def record_sent(chunk: Chunk, operation: Operation, names: Mapping[str, str]) -> None:
    # Of a batch task only the first ones: all of them stand in the events that tell how each ended.
    detail = {
        "targets": len(names),
        "ids": list(names)[:NAMED_WHEN_SENT],
        "by_task": chunk.by_task,
    }
    chunk_event("chunk.sent", operation, chunk, {}, names, detail=detail)


def request_for(
    chunk: Chunk, allowed: Allowed, targets: Mapping[str, bool | None]
) -> VerbRequest:
    name = task_name(allowed.operation, chunk.number) if chunk.by_task else ""
    return VerbRequest(
        allowed.operation, targets, task_name=name, spaces=allowed.spaces
    )


def still_ours(sendings: Iterable[Sending]) -> QuerySet[Chunk]:
    mine = Q(pk__in=[])
    for sending in sendings:
        mine |= Q(pk=sending.chunk.pk, token=sending.chunk.token)
    return Chunk.objects.filter(mine, state=Chunk.State.SENT)


def beat(sendings: Sequence[Sending]) -> None:
    """Prolong the leases of what is under way."""
    seconds = lease_seconds()
    until = time.monotonic() + seconds
    rows = still_ours(sendings)
    rows.update(lease_until=leased(seconds))
    ours = set(rows.values_list("pk", flat=True))
    for sending in sendings:
        if sending.chunk.pk not in ours:
            # What somebody has taken over is not sent any more, though its lease would still run.
            sending.valid_until = 0.0
    transaction.on_commit(lambda: believe(sendings, ours, until))


def believe(sendings: Sequence[Sending], ours: Collection[int], until: float) -> None:
    """Only what is committed: else somebody takes over what we go on sending."""
    for sending in sendings:
        if sending.chunk.pk in ours:
            sending.valid_until = until


def hand_back(sendings: Sequence[Sending]) -> None:
    """Not sent after all: for the next one who asks, as if it had not been claimed."""
    if not sendings:
        return
    with transaction.atomic():
        ours = list(
            still_ours(sendings).select_for_update().values_list("pk", flat=True)
        )
        Target.objects.filter(chunk__in=ours, state=State.SENT).update(
            state=State.PENDING
        )
        Chunk.objects.filter(pk__in=ours).update(
            state=Chunk.State.PENDING, attempts=F("attempts") - 1, lease_until=None
        )
