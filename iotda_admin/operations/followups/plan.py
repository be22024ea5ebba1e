"""Plans a follow-up of an operation (a retry or an undo) and records it.

A follow-up is an operation of its own, linked to the first. The plan comes from our
records: it leaves out what a later operation has changed, unless the actor selects it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar

from django.db import IntegrityError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from iotda_admin.access.actor import Actor
from iotda_admin.iotda import Client
from iotda_admin.operations.audit_log import audited_transaction
from iotda_admin.operations.causes import TARGETS_SHOWN
from iotda_admin.operations.error_codes import ErrorHelp
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.requests import OperationRequest, TargetSpec
from iotda_admin.operations.services import (
    OperationRejected,
    check_request,
    find_operation,
    find_or_conflict,
    record,
)
from iotda_admin.operations.verbs import OtherSpace, get_verb

State = Target.State
# In these states a later operation has changed a target, or may have.
MAY_HAVE_CHANGED = (State.PENDING, State.SENT, State.OK, State.ALREADY, State.UNKNOWN)


class Selection(IntEnum):
    """Whether a group of targets can be selected, in the order of the page."""

    PRESELECTED = 0
    SELECTABLE = 1
    EXCLUDED = 2


@dataclass(slots=True)
class TargetGroup:
    """Targets that failed for the same cause, or are left out for the same reason."""

    key: str
    help: ErrorHelp
    selection: Selection
    # IoTDA's error code.
    code: str = ""
    targets: list[TargetSpec] = field(default_factory=list)
    # The later operations that changed them.
    since: set[int] = field(default_factory=set)

    @property
    def since_first(self) -> list[int]:
        return sorted(self.since)[:5]

    @property
    def more(self) -> int:
        return max(0, len(self.targets) - TARGETS_SHOWN)


@dataclass(frozen=True, slots=True)
class LaterChange:
    operation: int
    verb: str
    state: str

    @property
    def done(self) -> bool:
        """Return whether the target is as the later operation requested."""
        return self.state in Target.DONE


DONE_SINCE = ErrorHelp(
    gettext_lazy("A later operation has done this already."),
    gettext_lazy("Nothing to do."),
)
CHANGED_SINCE = ErrorHelp(
    gettext_lazy("A later operation changed these again."),
    gettext_lazy("Select these only to override the later change."),
)
REQUESTED_SINCE = ErrorHelp(
    gettext_lazy("A later operation requested the current state and changed nothing."),
    gettext_lazy("Select these only to override the later operation."),
)
IN_PROGRESS = ErrorHelp(
    gettext_lazy("A later operation is changing these, or got no clear answer."),
    gettext_lazy("Wait until it ends."),
)


class FollowUpPlan:
    """What a follow-up of an operation would change, and what it leaves out.

    `exclude` is an operation that does not count as a later change: the follow-up itself.
    """

    # The field of the new operation that names the first one.
    link: ClassVar[str]
    # The states of the targets that the plan lists.
    states: ClassVar[Sequence[State]]
    # The fields of the form that open with the values of the first operation.
    prefilled: ClassVar[Sequence[str]] = ("ticket",)
    # Why nothing is left, in one sentence; empty if the groups say it.
    over = ""

    def __init__(self, operation: Operation, exclude: Operation | None = None) -> None:
        self.of = operation
        self.verb = get_verb(self.verb_name(operation))
        later = later_changes(operation, self.states, exclude)
        groups: dict[str, TargetGroup] = {}
        found = operation.targets.filter(state__in=self.states).order_by("pk")
        columns = found.values_list(
            "target_id", "name", "subject", "state", "error_code", "chunk__http_status"
        )
        rows = columns.iterator(chunk_size=2000)
        for id, name, subject, state, code, status in rows:
            group = self.classify_target(state, code, status)
            since = later.get(subject)
            if since and group.selection != Selection.EXCLUDED:
                group = self.classify_change(since)
            group = groups.setdefault(group.key, group)
            group.targets.append(TargetSpec(id, name))
            if since:
                group.since.add(since.operation)
        self.groups = sorted(
            groups.values(), key=lambda group: (group.selection, -len(group.targets))
        )
        excluded = Selection.EXCLUDED
        self.possible = [each for each in self.groups if each.selection != excluded]
        self.left_out = [each for each in self.groups if each.selection == excluded]

    @staticmethod
    def verb_name(operation: Operation) -> str:
        """Return the name of the verb that it requests; empty for none."""
        raise NotImplementedError

    def classify_target(self, state: str, code: str, status: int | None) -> TargetGroup:
        """Return a new group for targets with this outcome."""
        raise NotImplementedError

    def classify_change(self, since: LaterChange) -> TargetGroup:
        """Return a new group for targets of a later operation."""
        if not since.done:
            return TargetGroup("under way", IN_PROGRESS, Selection.EXCLUDED)
        if since.verb == self.verb.name:
            return TargetGroup("done since", DONE_SINCE, Selection.EXCLUDED)
        if since.state == State.ALREADY:
            return TargetGroup("wanted since", REQUESTED_SINCE, Selection.SELECTABLE)
        return TargetGroup("changed since", CHANGED_SINCE, Selection.SELECTABLE)

    def chosen(self, keys: Sequence[str]) -> list[TargetSpec]:
        return [
            target
            for group in self.groups
            if group.key in keys
            for target in group.targets
        ]

    @property
    def running(self) -> bool:
        """Return whether some outcomes are still to come."""
        return self.of.targets.filter(state__in=Target.IN_FLIGHT).exists()

    def request(self, targets: Sequence[TargetSpec], **said: str) -> OperationRequest:
        """Return the request of a follow-up; ``said`` are reason, ticket and key."""
        about: dict[str, Any] = {self.link: self.of, **said}
        return OperationRequest(
            self.verb.name,
            targets,
            target_type=self.of.target_type,
            policy_id=self.of.policy_id,
            policy_name=self.of.policy_name,
            **about,
        )

    @property
    def preselected(self) -> list[str]:
        return [
            group.key
            for group in self.groups
            if group.selection == Selection.PRESELECTED
        ]

    @cached_property
    def confirmation(self) -> str:
        """The text to type before it is sent; empty for none."""
        ids = [target.id for group in self.possible for target in group.targets]
        return self.verb.confirmation(self.of, ids) if ids else ""

    def elsewhere(self, keys: Sequence[str]) -> Sequence[OtherSpace]:
        """Return what to confirm before the targets of these groups are sent."""
        ids = [target.id for target in self.chosen(keys)]
        return self.verb.in_other_space(self.of, ids) if ids else ()

    @property
    def fingerprint(self) -> str:
        """A digest of everything that can be selected."""
        groups = [
            (group.key, sorted(target.id for target in group.targets))
            for group in self.possible
        ]
        return hashlib.sha256(json.dumps(groups).encode()).hexdigest()[:32]


class PlanOutdated(OperationRejected):
    """Raised if more has changed since the actor saw the plan."""


def later_changes(
    operation: Operation, states: Sequence[State], exclude: Operation | None = None
) -> dict[str, LaterChange]:
    """Return the last later change, actual or possible, of the targets in these states.

    The keys are the subjects of the targets.
    """
    targets = operation.targets.filter(state__in=states).order_by()
    later = Target.objects.filter(
        target_id__in=targets.values("target_id"),
        subject__in=targets.values("subject"),
        operation__gt=operation.pk,
        state__in=MAY_HAVE_CHANGED,
    ).order_by("pk")
    if exclude:
        later = later.exclude(operation=exclude)
    columns = later.values_list("subject", "operation", "operation__verb", "state")
    return {
        subject: LaterChange(number, verb, state)
        for subject, number, verb, state in columns
    }


def create_follow_up(
    plan: FollowUpPlan,
    request: OperationRequest,
    seen: str,
    actor: Actor,
    client: Client,
) -> Operation:
    """Record a retry or an undo of exactly what the actor saw.

    ``seen`` is the fingerprint of the plan that was shown. Raise PlanOutdated if more has
    changed since, and as ``create_operation`` does.
    """
    expect_fingerprint(seen, plan)
    if earlier := find_operation(request, actor):
        return earlier
    standing = plan.verb.standing_now(client, plan.of, request.ids)
    targets = [
        target._replace(stood_before=standing.get(target.id))
        for target in request.targets
    ]
    request = replace(request, targets=targets)
    check_request(request, actor)
    try:
        with audited_transaction(durable=True):
            operation, _chunks = record(request, actor)
            # IoTDA was read: another operation may have started and ended meanwhile.
            expect_fingerprint(seen, type(plan)(plan.of, exclude=operation))
            return operation
    except IntegrityError:
        return find_or_conflict(request, actor)


def expect_fingerprint(seen: str, plan: FollowUpPlan) -> None:
    if seen != plan.fingerprint:
        raise PlanOutdated(
            _("More has changed since you opened this page. Check it, then send again.")
        )
