"""Retry selected failures: one new operation for each operation they come from."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from iotda_admin.access.actor import Actor
from iotda_admin.access.scope import AnyUser
from iotda_admin.failures.assignments import carry_over
from iotda_admin.failures.queries import by_operation
from iotda_admin.operations.execution.wakeups import notify_workers
from iotda_admin.operations.followups.plan import create_follow_up
from iotda_admin.operations.followups.retry import RetryPlan
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.requests import OperationRequest, TargetSpec
from iotda_admin.operations.services import OperationRejected, dispatch
from iotda_admin.operations.verbs import OtherSpace, get_verb
from iotda_admin.operations.web.views import may_ask
from iotda_admin.rate.connection import client

MAX_OPERATIONS = 20


@dataclass(frozen=True, slots=True)
class Retry:
    """The selected failures of one operation.

    targets: what is sent again
    left_out: why others are not: a reason, an error code, a number of targets
    """

    plan: RetryPlan
    targets: Sequence[TargetSpec]
    left_out: Sequence[tuple[Any, str, int]]

    @property
    def elsewhere(self) -> Sequence[OtherSpace]:
        """Return what to confirm before the targets are sent."""
        ids = [target.id for target in self.targets]
        return self.plan.verb.in_other_space(self.plan.of, ids)

    def request(self, form: Mapping[str, str]) -> OperationRequest:
        # One key per operation, so that a form sent twice returns the same operations.
        own = hashlib.sha256(f"{form['key']} {self.plan.of.pk}".encode())
        return self.plan.request(
            self.targets,
            reason=form["reason"],
            ticket=form["ticket"],
            key=own.hexdigest()[:32],
        )


def plan_retries(targets: Sequence[Target], user: AnyUser) -> list[Retry]:
    return [
        plan_retry(operation, {target.target_id for target in group}, user)
        for operation, group in by_operation(targets).items()
    ]


def plan_retry(operation: Operation, selected: set[str], user: AnyUser) -> Retry:
    plan = RetryPlan(operation)
    reason = ""
    if not may_ask(user, get_verb(operation.verb), operation):
        reason = _("Your role does not allow this.")
    elif plan.confirmation:
        reason = _(
            "Retry a whole resource space on the page of its operation: you have to type its name."
        )
    elif plan.running:
        reason = _("This operation is still running. Wait until it ends.")
    if reason:
        return Retry(plan, [], [(reason, "", len(selected))])
    left_out = []
    for group in plan.left_out:
        if number := len(selected & {target.id for target in group.targets}):
            left_out.append((group.help.meaning, group.code, number))
    possible = [target for group in plan.possible for target in group.targets]
    return Retry(plan, [each for each in possible if each.id in selected], left_out)


def send_retries(
    retries: Sequence[Retry], actor: Actor, form: Mapping[str, str]
) -> tuple[list[Operation], list[str]]:
    """Return the new operations, and why others were rejected."""
    created, rejected = [], []
    for each in retries:
        plan, request = each.plan, each.request(form)
        try:
            created.append(
                create_follow_up(plan, request, plan.fingerprint, actor, client())
            )
        except OperationRejected as error:
            rejected.append(f"{plan.of}: {error}")
    if len(created) == 1:
        dispatch(created[0], client())
    elif created:
        # Sending several in the request would make the user wait for all of them.
        notify_workers()
    carry_over("web")
    return created, rejected
