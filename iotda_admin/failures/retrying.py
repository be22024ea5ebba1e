"""Asking again for chosen failures: through the one door, one operation for each that they came from."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.utils.translation import gettext as _

from iotda_admin.access.actor import Actor
from iotda_admin.failures.assignments import carry
from iotda_admin.operations.execution.tasks import nudge
from iotda_admin.operations.followups import plans
from iotda_admin.operations.followups.plans import Plan
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.services import OperationRejected, dispatch
from iotda_admin.operations.verbs import get_verb
from iotda_admin.operations.web.views import may_ask
from iotda_admin.rate.connection import client

# Each is a change of its own, with its own record and its own calls.
OPERATIONS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Part:
    """The chosen failures of one operation: what is asked again, and what is not, with the reason."""

    plan: Plan
    ids: frozenset[str]
    left_out: Sequence[tuple[Any, str, int]]

    @property
    def of(self) -> Operation:
        return self.plan.of


def parts(targets: Sequence[Target], user: User | AnonymousUser) -> list[Part]:
    ids: dict[Operation, set[str]] = defaultdict(set)
    for target in targets:
        ids[target.operation].add(target.target_id)
    return [
        part(operation, ids[operation], user)
        for operation in sorted(ids, key=lambda each: -each.pk)
    ]


def part(operation: Operation, chosen: set[str], user: User | AnonymousUser) -> Part:
    plan = plans.retry(operation)
    if not may_ask(user, get_verb(operation.verb), operation):
        return Part(
            plan, frozenset(), [(_("Your role does not allow this."), "", len(chosen))]
        )
    if plan.confirmation:
        why = _(
            "A whole resource space is retried on the operation's own page, where its name is typed."
        )
        return Part(plan, frozenset(), [(why, "", len(chosen))])
    if operation.targets.filter(state__in=Target.IN_FLIGHT).exists():
        return Part(
            plan,
            frozenset(),
            [
                (
                    _("This operation is still running. Wait for its end."),
                    "",
                    len(chosen),
                )
            ],
        )
    possible = {
        target.id for group in plan.possible for target in group.targets
    } & chosen
    left_out = []
    for group in plan.left_out:
        if number := len(chosen & {target.id for target in group.targets}):
            left_out.append((group.help.meaning, group.code, number))
    return Part(plan, frozenset(possible), left_out)


def ask_again(
    found: Sequence[Part], *, actor: Actor, key: str, reason: str, ticket: str
) -> tuple[list[Operation], list[str]]:
    """The operations that were made, and why others were not."""
    made, refused = [], []
    for each in found:
        try:
            made.append(follow(each, actor, key, reason, ticket))
        except OperationRejected as refusal:
            refused.append(f"{each.of}: {refusal}")
    for operation in made:
        # One is sent here and now; several at once would let somebody wait for all of them.
        dispatch(operation, client()) if len(made) == 1 else nudge(operation.pk)
    carry("web")
    return made, refused


def follow(each: Part, actor: Actor, key: str, reason: str, ticket: str) -> Operation:
    plan = each.plan
    # A key for each, so that the form sent twice is the same operations again.
    own = hashlib.sha256(f"{key} {each.of.pk}".encode()).hexdigest()[:32]
    targets = [
        target
        for group in plan.possible
        for target in group.targets
        if target.id in each.ids
    ]
    follow_up = plans.FollowUp(plan, targets, plan.fingerprint, reason, ticket, own)
    return plans.follow(follow_up, actor, client())
