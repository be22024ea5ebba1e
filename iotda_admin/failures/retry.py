"""Retry selected failures: one new operation for each operation they come from."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.utils.translation import gettext as _

from iotda_admin.access.actor import Actor
from iotda_admin.failures.assignments import carry_over
from iotda_admin.operations.execution.wakeups import notify_workers
from iotda_admin.operations.followups.plan import FollowUp, create_follow_up
from iotda_admin.operations.followups.retry import RetryPlan
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.services import OperationRejected, dispatch
from iotda_admin.operations.verbs import get_verb
from iotda_admin.operations.web.views import may_ask
from iotda_admin.rate.connection import client

MAX_OPERATIONS = 20


@dataclass(frozen=True, slots=True)
class Retry:
    """The selected failures of one operation.

    ids: what is sent again
    left_out: why others are not: a reason, an error code, a number of targets
    """

    plan: RetryPlan
    ids: frozenset[str]
    left_out: Sequence[tuple[Any, str, int]]

    @property
    def operation(self) -> Operation:
        return self.plan.of


def plan_retries(targets: Sequence[Target], user: User | AnonymousUser) -> list[Retry]:
    ids: dict[Operation, set[str]] = defaultdict(set)
    for target in targets:
        ids[target.operation].add(target.target_id)
    newest_first = sorted(ids, key=lambda operation: -operation.pk)
    return [plan_retry(each, ids[each], user) for each in newest_first]


def plan_retry(
    operation: Operation, selected: set[str], user: User | AnonymousUser
) -> Retry:
    plan = RetryPlan(operation)
    reason = ""
    if not may_ask(user, get_verb(operation.verb), operation):
        reason = _("Your role does not allow this.")
    elif plan.confirmation:
        reason = _(
            "Retry a whole resource space on the page of its operation: you have to type its name."
        )
    elif operation.targets.filter(state__in=Target.IN_FLIGHT).exists():
        reason = _("This operation is still running. Wait until it ends.")
    if reason:
        return Retry(plan, frozenset(), [(reason, "", len(selected))])
    left_out = []
    for group in plan.left_out:
        if number := len(selected & {target.id for target in group.targets}):
            left_out.append((group.help.meaning, group.code, number))
    possible = {target.id for group in plan.possible for target in group.targets}
    return Retry(plan, frozenset(possible & selected), left_out)


def send_retries(
    retries: Sequence[Retry], *, actor: Actor, key: str, reason: str, ticket: str
) -> tuple[list[Operation], list[str]]:
    """Return the new operations, and why others were rejected."""
    created, rejected = [], []
    for each in retries:
        try:
            created.append(create_retry(each, actor, key, reason, ticket))
        except OperationRejected as error:
            rejected.append(f"{each.operation}: {error}")
    for operation in created:
        # Sending several in the request would make the user wait for all of them.
        if len(created) == 1:
            dispatch(operation, client())
        else:
            notify_workers()
    carry_over("web")
    return created, rejected


def create_retry(
    retry: Retry, actor: Actor, key: str, reason: str, ticket: str
) -> Operation:
    plan = retry.plan
    # One key per operation, so that a form sent twice returns the same operations.
    own = hashlib.sha256(f"{key} {retry.operation.pk}".encode()).hexdigest()[:32]
    targets = [
        target
        for group in plan.possible
        for target in group.targets
        if target.id in retry.ids
    ]
    follow_up = FollowUp(plan, targets, plan.fingerprint, reason, ticket, own)
    return create_follow_up(follow_up, actor, client())
