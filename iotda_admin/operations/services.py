"""The one door: every change of the platform is asked for here and recorded before anything is sent."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import batched
from operator import itemgetter
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from iotda_admin.access.actor import Actor
from iotda_admin.access.limits import target_limit
from iotda_admin.core.bulk_sql import insert_rows, values_subquery
from iotda_admin.iotda import BATCH_TARGET_LIMIT, Client
from iotda_admin.operations import permissions
from iotda_admin.operations.audit_log import (
    audited_transaction,
    describe_target,
    record_operation_event,
)
from iotda_admin.operations.execution.executor import execute_chunk
from iotda_admin.operations.execution.tasks import nudge
from iotda_admin.operations.models import (
    Chunk,
    Operation,
    OperationSpace,
    Target,
    the_one,
)
from iotda_admin.operations.verbs import Verb, get_verb

# Up to here it is looked at before anything is read from IoTDA whether somebody is changing a target.
LOOKED_AT_FIRST = 1000
# So many of them the trail names when it is asked, so that a small change is found by its targets at once.
NAMED_WHEN_ASKED = 20


class TargetSpec(NamedTuple):
    """One target as the actor saw it.

    stood_before  whether it already stood as asked, None if unknown
    space         its resource space, empty if nobody knows it; None where it was not looked up
    """

    id: str
    name: str = ""
    stood_before: bool | None = None
    space: str | None = None


class OperationRejected(Exception):
    """The door stays shut; the text is for the person who asked."""

    status = 409


class NotAllowed(OperationRejected):
    status = 403


class NoTargets(OperationRejected):
    status = 422


class LimitExceeded(OperationRejected):
    status = 413


class DuplicateKey(OperationRejected):
    pass


class Conflict(OperationRejected):
    pass


def create_operation(
    verb_name: str,
    wanted: Sequence[TargetSpec],
    *,
    actor: Actor,
    reason: str,
    ticket: str = "",
    form_key: str,
    target_type: str = "device",
    policy_id: str = "",
    policy_name: str = "",
    retry_of: Operation | None = None,
    undo_of: Operation | None = None,
    look: Callable[[Sequence[str]], Sequence[TargetSpec]] | None = None,
    check: Callable[[Operation], None] | None = None,
) -> Operation:
    """Record what is asked, with its targets and its audit event, in one transaction of its own.

    look: what is still to be read of the targets, the platform maybe. It is called only once it is clear that
    this was not asked before and is allowed.
    check: called once it is recorded, in the same transaction: what it raises takes the record back.

    Nothing is sent yet: `start` does that. Asking again with the same form key and the same
    input returns the operation that the first asking made.

    Raises NotAllowed, NothingWanted, TooMany, KeyReused (same key, other input) and InFlight (another
    operation is changing one of the targets at this moment).
    """
    verb = get_verb(verb_name)
    # In the order of the ids, so that the indexes grow at one end: else recording takes twice as long.
    wanted = sorted(
        {target.id: target for target in wanted}.values(), key=itemgetter(0)
    )
    operation = Operation(
        verb=verb_name,
        target_type=target_type,
        policy_id=policy_id,
        policy_name=policy_name,
        reason=reason,
        ticket=ticket,
        actor=actor.user,
        actor_name=actor.user.get_username() if actor.user else actor.name,
        role=actor.role,
        source=actor.source,
        address=actor.address,
        form_key=form_key,
        retry_of=retry_of,
        undo_of=undo_of,
    )
    operation.input_digest = digest(operation, wanted)
    if earlier := asked_before(operation):
        return earlier
    try:
        check_allowed(verb, operation, wanted)
        wanted = look([target.id for target in wanted]) if look else wanted
        spaces = spaces_of(verb, operation, wanted)
        with audited_transaction(durable=True):
            record(verb, operation, wanted, spaces)
            if check:
                check(operation)
    except (Conflict, IntegrityError) as error:
        # AnyUser was quicker: the same form sent twice, or another change of the same target.
        if earlier := asked_before(operation):
            return earlier
        if isinstance(error, Conflict):
            raise
        check_in_flight(verb, operation, wanted)
        # That other change is over by now; this one was not recorded.
        raise Conflict(
            _("A target was being changed at this very moment. Send it again.")
        ) from None
    return operation


def dispatch(operation: Operation, client: Client) -> None:
    """Send what was asked: one chunk here and now; more, and batch tasks, by the workers."""
    # The same form sent again leads to an operation that may have to wait by now.
    going = operation.chunks.exclude(operation__held_until__gt=timezone.now())
    open_chunks = going.exclude(state=Chunk.State.DONE)[:2]
    if len(open_chunks) == 1 and not open_chunks[0].by_task:
        execute_chunk(open_chunks[0], client)
    if operation.chunks.filter(state=Chunk.State.PENDING).exists():
        nudge(operation.pk)
    operation.refresh_from_db()


def digest(operation: Operation, wanted: Sequence[TargetSpec]) -> str:
    parts = [
        operation.verb,
        operation.target_type,
        operation.policy_id,
        operation.reason,
        operation.ticket,
    ]
    parts += [f"follows {operation.retry_of_id} {operation.undo_of_id}"]
    return hashlib.sha256(
        json.dumps([*parts, [t.id for t in wanted]]).encode()
    ).hexdigest()


def asked_before(operation: Operation) -> Operation | None:
    earlier = Operation.objects.filter(
        actor=operation.actor,
        actor_name=operation.actor_name,
        form_key=operation.form_key,
    ).first()
    if earlier and earlier.input_digest != operation.input_digest:
        raise DuplicateKey(
            _(
                "This form was already sent as %(operation)s with other content. Open it again."
            )
            % {"operation": earlier}
        )
    return earlier


def check_allowed(
    verb: Verb, operation: Operation, wanted: Sequence[TargetSpec]
) -> None:
    permission = verb.permission(operation.target_type)
    if operation.actor and not operation.actor.has_perm(permission):
        deny(operation, wanted, needs=permission)
        raise NotAllowed(_("Your role does not allow this."))
    if not wanted:
        raise NoTargets(_("Choose at least one target."))
    if len(wanted) > settings.TARGETS_LIMIT:
        raise LimitExceeded(
            _(
                "%(count)d targets are more than the %(limit)d that one operation may have."
            )
            % {"count": len(wanted), "limit": settings.TARGETS_LIMIT}
        )
    if operation.actor:
        check_limit(operation.actor, permission, operation, wanted)
        check_scope(operation.actor, verb, operation, wanted)
    if len(wanted) <= LOOKED_AT_FIRST:
        check_in_flight(verb, operation, wanted)


def check_limit(
    user: User, permission: str, operation: Operation, wanted: Sequence[TargetSpec]
) -> None:
    limit = target_limit(user, permission)
    if limit is not None and len(wanted) > limit:
        deny(operation, wanted, cap=limit)
        raise LimitExceeded(permissions.limit_message(len(wanted), limit))


def check_scope(
    user: User, verb: Verb, operation: Operation, wanted: Sequence[TargetSpec]
) -> None:
    """One target outside, and nothing is recorded: half of a list hides the mistake."""
    strange = permissions.targets_outside(
        verb, operation, [target.id for target in wanted], user
    )
    if strange:
        deny(
            operation,
            wanted,
            outside=strange[: permissions.NAMED],
            outside_count=len(strange),
        )
        raise NotAllowed(permissions.outside_message(strange))


def deny_look(
    verb_name: str,
    ids: Sequence[str],
    outside: Sequence[str],
    *,
    actor: Actor,
    **what: Any,
) -> None:
    """Record what was refused when it was looked at, before it was asked for. what: more of the operation."""
    assert actor.user
    operation = Operation(
        **{"verb": verb_name, "target_type": "device", **what},
        actor=actor.user,
        actor_name=actor.user.get_username(),
        role=actor.role,
        source=actor.source,
        address=actor.address,
    )
    limit = target_limit(
        actor.user, get_verb(verb_name).permission(operation.target_type)
    )
    why = (
        {"outside": outside[: permissions.NAMED], "outside_count": len(outside)}
        if outside
        else {"cap": limit}
    )
    deny(operation, [TargetSpec(id) for id in ids], **why)


def deny(operation: Operation, wanted: Sequence[TargetSpec], **why: Any) -> None:
    ids = [target.id for target in wanted]
    names = {target.id: target.name for target in wanted}
    # What the refusal is about comes first: of very many not all are named.
    named = list(dict.fromkeys([*why.get("outside", ()), *ids]))[:NAMED_WHEN_ASKED]
    record_operation_event(
        "denied",
        operation,
        summary=summary(operation, wanted),
        outcome="denied",
        space=the_one(
            permissions.spaces_of_targets(get_verb(operation.verb), operation, ids)
        ),
        targets=[(id, names.get(id, "")) for id in named],
        detail={"count": len(wanted), "targets": ids[:20], **why},
    )


def spaces_of(
    verb: Verb, operation: Operation, wanted: Sequence[TargetSpec]
) -> set[str]:
    spaces = {target.space for target in wanted}
    if None in spaces:
        return permissions.spaces_of_targets(
            verb, operation, [target.id for target in wanted]
        )
    return {each for each in spaces if each is not None} | verb.other_spaces(operation)


def check_in_flight(
    verb: Verb, operation: Operation, wanted: Sequence[TargetSpec]
) -> None:
    """Says who is changing one of the targets. That nobody does is the database's own rule."""
    subjects = values_subquery(
        [verb.subject(operation, target.id) for target in wanted]
    )
    ids = values_subquery([target.id for target in wanted])
    busy = Target.objects.filter(
        target_id__in=ids, subject__in=subjects, state__in=Target.IN_FLIGHT
    )
    for target in busy.select_related("operation").order_by()[:1]:
        raise Conflict(
            _(
                "%(operation)s by %(who)s has been changing %(target)s since %(since)s UTC. Wait for it."
            )
            % {
                "operation": target.operation,
                "who": target.operation.actor_name,
                "target": target.name or target.target_id,
                "since": date_format(target.operation.created_at, "H:i:s"),
            }
        )


def record(
    verb: Verb,
    operation: Operation,
    wanted: Sequence[TargetSpec],
    spaces: Iterable[str],
) -> None:
    operation.save(force_insert=True)
    OperationSpace.objects.bulk_create(
        [OperationSpace(operation=operation, app_id=each) for each in spaces]
    )
    by_task = verb.task_type is not None and len(wanted) > settings.BATCH_TASK_ABOVE
    stood = verb.inventory_says([target.id for target in wanted]) if by_task else {}
    size = BATCH_TARGET_LIMIT if by_task else verb.chunk_size
    groups = list(enumerate(batched(wanted, size), start=1))
    insert_rows(
        Chunk(operation=operation, by_task=by_task),
        ["number"],
        [(number,) for number, _group in groups],
    )
    chunks = dict(operation.chunks.values_list("number", "pk"))
    rows = (
        (
            t.id,
            chunks[number],
            t.name[:256],
            verb.subject(operation, t.id),
            stood.get(t.id, t.stood_before),
        )
        for number, group in groups
        for t in group
    )
    insert_rows(
        Target(operation=operation),
        ["target_id", "chunk", "name", "subject", "stood_before"],
        rows,
    )
    record_operation_event(
        "operation.asked",
        operation,
        summary=summary(operation, wanted),
        targets=[(target.id, target.name) for target in wanted[:NAMED_WHEN_ASKED]],
        detail={"targets": len(wanted)},
    )


def summary(operation: Operation, wanted: Sequence[TargetSpec]) -> str:
    """Kept in the trail, so in plain English and without anything that may change its meaning later."""
    first = wanted[0].name or wanted[0].id if wanted else "nothing"
    others = f" and {len(wanted) - 1} more" if len(wanted) > 1 else ""
    return f"{describe_target(operation, first)}{others}"[:500]
