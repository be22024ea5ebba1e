"""The one entry point: every change of IoTDA is requested here and recorded before it is sent."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import batched

from django.conf import settings
from django.db import IntegrityError
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from iotda_admin.access.actor import Actor
from iotda_admin.audit.record import READ_SECONDS
from iotda_admin.core.bulk_sql import among, insert_rows
from iotda_admin.core.database import brief_transaction
from iotda_admin.iotda import BATCH_TARGET_LIMIT, Client
from iotda_admin.operations.audit_log import (
    audited_transaction,
    describe_reach,
    describe_target,
    record_operation_event,
)
from iotda_admin.operations.execution.executor import (
    execute_chunk,
    execute_leased_chunk,
)
from iotda_admin.operations.execution.leases import lease_locked_chunk
from iotda_admin.operations.execution.wakeups import notify_workers
from iotda_admin.operations.models import (
    Chunk,
    Operation,
    OperationSpace,
    Target,
    the_one,
)
from iotda_admin.operations.permissions import (
    Decision,
    authorize,
    spaces_of_targets,
)
from iotda_admin.operations.requests import OperationRequest, TargetSpec
from iotda_admin.operations.verbs import get_verb

# Up to this number of targets, conflicts are looked for before IoTDA is read.
CHECKED_FIRST = 1000
# Targets that the audit event of a request names, so that a small change is found by its
# targets.
NAMED_TARGETS = 20


class OperationRejected(Exception):
    """Nothing was recorded. The text is for the person who requested it."""

    status = 409


class NotAllowed(OperationRejected):
    status = 403


class NoTargets(OperationRejected):
    status = 422


class LimitExceeded(OperationRejected):
    status = 413


class DuplicateKey(OperationRejected):
    """The same key was used with other input."""


class Conflict(OperationRejected):
    """Another operation is changing one of the targets now."""


def submit(request: OperationRequest, actor: Actor, client: Client) -> Operation:
    """Check, resolve, record and dispatch a request. Return its operation.

    The targets are resolved, which may read IoTDA, only once the request is known to be new
    and allowed. A single chunk is leased as it is recorded, then sent. Raise as
    ``create_operation`` does.
    """
    if operation := find_operation(request, actor):
        dispatch(operation, client)
        return operation
    decision = check_request(request, actor)
    resolved = get_verb(request.verb).resolve(client, request)
    leased = None
    try:
        with audited_transaction(durable=True):
            operation, chunk = record(resolved, actor)
            if chunk and not chunk.by_task:
                leased = lease_locked_chunk(chunk, decision)
    except IntegrityError:
        operation = find_or_conflict(request, actor)
    if leased:
        execute_leased_chunk(leased, client)
        operation.refresh_from_db()
    if operation.finished_at is None:
        notify_workers()
    return operation


def create_operation(request: OperationRequest, actor: Actor) -> Operation:
    """Record an operation with its targets and its audit event, in one transaction.

    Nothing is sent: ``dispatch`` does that. The same key and input return the operation
    that the first request created.

    Raise NotAllowed, NoTargets, LimitExceeded, DuplicateKey (same key, other input) and
    Conflict (another operation is changing one of the targets).
    """
    if operation := find_operation(request, actor):
        return operation
    check_request(request, actor)
    try:
        with audited_transaction(durable=True):
            return record(request, actor)[0]
    except IntegrityError:
        return find_or_conflict(request, actor)


def submit_pair(
    first: OperationRequest,
    second: OperationRequest,
    actor: Actor,
    client: Client,
    check: Callable[[], None],
) -> tuple[Operation, Operation]:
    """Record two operations; the second is sent only once the first is done.

    What this process does not send, the workers send. ``check`` is called in the
    transaction that records them, and raises if the request is outdated. The same key
    and input return the same operations. Raise as ``create_operation`` does.
    """
    operation = find_operation(first, actor)
    if operation is None:
        for request in (first, second):
            check_request(request, actor)
        operation = record_pair(
            get_verb(first.verb).resolve(client, first),
            get_verb(second.verb).resolve(client, second),
            actor,
            check,
        )
    successor = operation.successors.first()
    if successor is None or successor.input_digest != second.digest:
        raise duplicate_key(operation)
    for each in (operation, successor):
        dispatch(each, client)
    return operation, successor


def record_pair(
    first: OperationRequest,
    second: OperationRequest,
    actor: Actor,
    check: Callable[[], None],
) -> Operation:
    """Record both or neither; return the first."""
    try:
        with audited_transaction(durable=True):
            operation, _chunk = record(first, actor)
            record(replace(second, after=operation), actor)
            check()
            return operation
    except IntegrityError:
        return find_or_conflict(first, actor)


def find_or_conflict(request: OperationRequest, actor: Actor) -> Operation:
    """Return the operation of the same form, or raise Conflict: a unique index fired.

    Another process was faster with the same form, or with another change of a target.
    """
    if operation := find_operation(request, actor):
        return operation
    check_conflicts(request)
    # The other change has ended meanwhile; this one was not recorded.
    message = _("A target was being changed at this moment. Send the form again.")
    raise Conflict(message)


def dispatch(operation: Operation, client: Client) -> None:
    """Send one chunk now; leave several chunks, and batch tasks, to the workers."""
    # The same form sent again leads to an operation that may have to wait now.
    free = operation.chunks.exclude(
        Q(operation__waits_until__gt=timezone.now())
        | Q(operation__state=Operation.State.PAUSED)
        | Q(operation__after__isnull=False, operation__after__finished_at=None)
    )
    open_chunks = free.exclude(state=Chunk.State.DONE)[:2]
    if len(open_chunks) == 1 and not open_chunks[0].by_task:
        execute_chunk(open_chunks[0], client)
    operation.refresh_from_db()
    if operation.finished_at is None:
        notify_workers()


def find_operation(request: OperationRequest, actor: Actor) -> Operation | None:
    """Return the operation that this key and input created before.

    Raise DuplicateKey if the key was used with other input.
    """
    earlier = find_by_key(request.key, actor)
    if earlier and earlier.input_digest != request.digest:
        raise duplicate_key(earlier)
    return earlier


def duplicate_key(earlier: Operation) -> DuplicateKey:
    message = _(
        "This form was already sent as %(operation)s with other content. Open it again."
    )
    return DuplicateKey(message % {"operation": earlier})


def find_by_key(key: str, actor: Actor) -> Operation | None:
    return Operation.objects.filter(
        actor=actor.user, actor_name=actor.username, form_key=key
    ).first()


def check_request(request: OperationRequest, actor: Actor) -> Decision:
    """Return the decision that allows it.

    Raise if the actor may not do this, or if another operation is in the way.
    """
    decision = authorize(actor.user, request)
    if not decision.allowed:
        record_denied(request, actor, decision)
        limited = decision.denied_by == "limit"
        raise (LimitExceeded if limited else NotAllowed)(decision.message)
    if not request.targets:
        raise NoTargets(_("Choose at least one target."))
    if len(request.targets) > settings.TARGETS_LIMIT:
        message = _(
            "%(count)d targets are more than the %(limit)d that one operation may have."
        )
        counts = {"count": len(request.targets), "limit": settings.TARGETS_LIMIT}
        raise LimitExceeded(message % counts)
    if len(request.targets) <= CHECKED_FIRST:
        check_conflicts(request)
    return decision


def in_flight_targets(request: OperationRequest) -> QuerySet[Target]:
    """Return the targets of other operations that change the same targets now."""
    verb = get_verb(request.verb)
    in_flight = Target.objects.filter(
        among("target_id", request.ids),
        among("subject", [verb.subject(request, id) for id in request.ids]),
        state__in=Target.IN_FLIGHT,
    )
    # The same form, sent twice at once, is no conflict: the second finds its operation.
    in_flight = in_flight.exclude(operation__form_key=request.key)
    return in_flight.select_related("operation").order_by()


def check_conflicts(request: OperationRequest) -> None:
    """Raise Conflict, naming who is changing one of the targets.

    A unique index of the database is what prevents two changes of one target.
    """
    for target in in_flight_targets(request)[:1]:
        message = (
            _(
                "%(operation)s by %(who)s, which is to change %(target)s, is paused."
                " Continue or cancel it first."
            )
            if target.operation.paused
            else _(
                "%(operation)s by %(who)s has been changing %(target)s since %(since)s UTC."
                " Wait for it."
            )
        )
        facts = {
            "operation": target.operation,
            "who": target.operation.actor_name,
            "target": target.name or target.target_id,
            "since": f"{target.operation.created_at:%Y-%m-%d %H:%M}",
        }
        raise Conflict(message % facts)


def record(request: OperationRequest, actor: Actor) -> tuple[Operation, Chunk | None]:
    """Write the operation, its spaces, chunks and targets, and its audit event.

    Return it, and its chunk if there is only one.
    """
    operation = build_operation(request, actor)
    operation.save(force_insert=True)
    spaces = spaces_of_targets(request)
    operation.space = the_one(spaces)
    OperationSpace.objects.bulk_create(
        OperationSpace(operation=operation, app_id=app_id) for app_id in spaces
    )
    chunk = record_targets(operation, request)
    record_operation_event(
        "operation.asked",
        operation,
        summary=summarize(operation, request.targets),
        targets=[
            (target.id, target.name) for target in request.targets[:NAMED_TARGETS]
        ],
        detail={"targets": len(request.targets)},
    )
    return operation, chunk


def build_operation(request: OperationRequest, actor: Actor) -> Operation:
    inventory = get_verb(request.verb).inventory
    return Operation(
        verb=request.verb,
        devices=inventory.devices_reached(request.target_type, request.ids),
        target_type=request.target_type,
        policy_id=request.policy_id,
        policy_name=request.policy_name,
        reason=request.reason,
        ticket=request.ticket,
        actor=actor.user,
        actor_name=actor.username,
        role=actor.role,
        source=actor.source,
        address=actor.address,
        form_key=request.key,
        input_digest=request.digest,
        retry_of=request.retry_of,
        undo_of=request.undo_of,
        after=request.after,
    )


def record_targets(operation: Operation, request: OperationRequest) -> Chunk | None:
    """Write the targets in chunks: one write request each, or one batch task each.

    Return the chunk if there is only one.
    """
    verb = get_verb(operation.verb)
    by_task = verb.goes_by_task(len(request.targets))
    standing = verb.inventory.standing(request.ids, operation) if by_task else None
    size = BATCH_TARGET_LIMIT if by_task else verb.chunk_size
    first = Chunk(operation=operation, number=1, by_task=by_task)
    chunks = record_chunks(first, -(-len(request.targets) // size))
    rows = (
        (
            target.id,
            chunk,
            target.name[:256],
            verb.subject(operation, target.id),
            target.stood_before if standing is None else standing.get(target.id),
        )
        for chunk, group in zip(chunks, batched(request.targets, size), strict=True)
        for target in group
    )
    columns = ["target_id", "chunk", "name", "subject", "stood_before"]
    insert_rows(Target(operation=operation), columns, rows)
    return first if len(chunks) == 1 else None


def record_chunks(first: Chunk, count: int) -> Sequence[int]:
    """Write a chunk, or so many of them; return their primary keys."""
    if count == 1:
        first.save(force_insert=True)
        return [first.pk]
    insert_rows(first, ["number"], ((number,) for number in range(1, count + 1)))
    chunks = Chunk.objects.filter(operation=first.operation).order_by("number")
    return list(chunks.values_list("pk", flat=True))


def record_denied(request: OperationRequest, actor: Actor, decision: Decision) -> None:
    """Record a denied request in the audit trail."""
    operation = build_operation(request, actor)
    names = {target.id: target.name for target in request.targets}
    # The targets that the denial is about come first: not all are named.
    named = list(dict.fromkeys([*decision.outside, *request.ids]))[:NAMED_TARGETS]
    record_operation_event(
        "denied",
        operation,
        summary=summarize(operation, request.targets),
        outcome="denied",
        space=the_one(spaces_of_targets(request)),
        targets=[(id, names.get(id, "")) for id in named],
        detail={
            "count": len(request.ids),
            "targets": request.ids[:20],
            **decision.facts,
        },
    )


def record_denied_preview(
    request: OperationRequest, actor: Actor, decision: Decision
) -> None:
    """Record a denied preview of a request. Raises OperationalError as a read does."""
    with brief_transaction(READ_SECONDS):
        record_denied(request, actor, decision)


def summarize(operation: Operation, targets: Sequence[TargetSpec]) -> str:
    """Return plain English for the audit trail: nothing in it may change its meaning."""
    first = targets[0].name or targets[0].id if targets else "nothing"
    others = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
    return f"{describe_target(operation, first)}{others}{describe_reach(operation)}"[
        :500
    ]
