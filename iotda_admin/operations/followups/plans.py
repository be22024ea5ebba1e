"""What somebody asks for after an operation: send no more of it, ask again for what failed, undo what it did.

Asking again and undoing are new operations, through the same door, linked to the first. What they would
change is decided by our records: never what a later operation has changed since, unless that is chosen.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from django.db import IntegrityError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from iotda_admin.access.actor import Actor
from iotda_admin.iotda import Client
from iotda_admin.operations.audit_log import (
    audited_transaction,
)
from iotda_admin.operations.causes import TARGETS_SHOWN
from iotda_admin.operations.error_codes import (
    ErrorHelp,
    explain_target,
    is_platform_code,
)
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.requests import OperationRequest, TargetSpec
from iotda_admin.operations.services import (
    OperationRejected,
    check,
    find_operation,
    find_or_conflict,
    record,
)
from iotda_admin.operations.verbs import Verb, get_verb

State = Target.State
NOT_DONE = (State.FAILED, State.SKIPPED, State.CANCELLED)
# A later asking in one of these states has, or may have, changed what this one was about.
MAY_HAVE_CHANGED = (State.PENDING, State.SENT, State.OK, State.ALREADY, State.UNKNOWN)


class Offer(IntEnum):
    """Whether a group can be chosen; in the order in which they are shown."""

    CHOSEN = 0
    POSSIBLE = 1
    NEVER = 2


@dataclass(slots=True)
class Group:
    """Targets that fare alike: they failed for the same cause, or are left out for the same reason."""

    key: str
    help: ErrorHelp
    offer: Offer
    code: str = ""
    targets: list[TargetSpec] = field(default_factory=list)
    # The later operations that changed them since.
    since: set[int] = field(default_factory=set)

    @property
    def possible(self) -> bool:
        return self.offer != Offer.NEVER

    @property
    def since_first(self) -> list[int]:
        return sorted(self.since)[:5]

    @property
    def more(self) -> int:
        return max(0, len(self.targets) - TARGETS_SHOWN)


@dataclass(slots=True)
class Plan:
    """What a follow-up would change, and what it leaves out."""

    of: Operation
    verb: Verb
    link: str
    groups: list[Group]

    def chosen(self, keys: Sequence[str]) -> list[TargetSpec]:
        return [
            target
            for group in self.groups
            if group.key in keys
            for target in group.targets
        ]

    @property
    def preselected(self) -> list[str]:
        return [group.key for group in self.groups if group.offer == Offer.CHOSEN]

    @property
    def possible(self) -> list[Group]:
        return [group for group in self.groups if group.possible]

    @property
    def left_out(self) -> list[Group]:
        return [group for group in self.groups if not group.possible]

    @property
    def confirmation(self) -> str:
        """Return the text to type before it is sent; empty for none."""
        ids = [target.id for group in self.possible for target in group.targets]
        return self.verb.confirmation(self.of, ids) if ids else ""

    @property
    def fingerprint(self) -> str:
        """The same as long as nothing else could be chosen than what was shown."""
        digest = hashlib.sha256()
        for group in self.possible:
            digest.update(f"{group.key}\n".encode())
            digest.update(
                "\n".join(sorted(target.id for target in group.targets)).encode()
            )
        return digest.hexdigest()[:32]


class Outdated(OperationRejected):
    pass


@dataclass(frozen=True, slots=True)
class Later:
    operation: int
    verb: str
    state: str


DONE_SINCE = ErrorHelp(
    gettext_lazy("This was done since, by a later operation."),
    gettext_lazy("Nothing to do."),
)
CHANGED_AGAIN = ErrorHelp(
    gettext_lazy("Changed again since, by a later operation."),
    gettext_lazy("Choose these only if that shall not stand."),
)
WANTED_SINCE = ErrorHelp(
    gettext_lazy("A later operation wanted these as they are, and changed nothing."),
    gettext_lazy("Choose these only if that shall not stand."),
)
UNDER_WAY = ErrorHelp(
    gettext_lazy("A later operation is changing these, or got no clear answer."),
    gettext_lazy("Wait for it."),
)
CHANGED = ErrorHelp(gettext_lazy("Changed by this operation, and not since."), "")
STOOD_BEFORE = ErrorHelp(
    gettext_lazy("They were so before this operation."),
    gettext_lazy("They stay as they are."),
)

# What a group is about, what may be done with it, and the code that the platform gave.
type Sorted = tuple[str, ErrorHelp, Offer, str]


def retry(operation: Operation, apart_from: Operation | None = None) -> Plan:
    """Ask again for what did not succeed: preselected where asking again can help."""

    def sort(state: str, code: str, status: int | None) -> Sorted:
        help = explain_target(state, code, status)
        if state == State.UNKNOWN:
            return f"unknown:{code}", help, Offer.NEVER, ""
        offer = Offer.CHOSEN if help.retryable else Offer.POSSIBLE
        shown = code if is_platform_code(code) else ""
        return (
            f"{state}:{code}",
            help,
            Offer.NEVER if help.hopeless else offer,
            shown,
        )

    later = changes_since(operation, apart_from)
    return plan(
        operation, operation.verb, "retry_of", (*NOT_DONE, State.UNKNOWN), sort, later
    )


def undo(operation: Operation, apart_from: Operation | None = None) -> Plan:
    """Do the opposite for exactly what this operation changed."""

    def sort(state: str, code: str, status: int | None) -> Sorted:
        match state:
            case State.OK:
                return "changed", CHANGED, Offer.CHOSEN, ""
            case State.ALREADY:
                return "already", STOOD_BEFORE, Offer.NEVER, ""
        return "unknown", explain_target(state, code, status), Offer.NEVER, ""

    inverse = get_verb(operation.verb).inverse
    later = changes_since(operation, apart_from)
    return plan(
        operation,
        inverse,
        "undo_of",
        (State.OK, State.ALREADY, State.UNKNOWN),
        sort,
        later,
    )


def plan(
    operation: Operation,
    verb: str,
    link: str,
    states: Sequence[str],
    sort: Callable[[str, str, int | None], Sorted],
    later: Mapping[str, Later],
) -> Plan:
    groups: dict[str, Group] = {}
    for target, subject, state, code, status in rows(operation, states):
        key, help, offer, code = sort(state, code, status)
        since = later.get(subject)
        if since and offer != Offer.NEVER:
            key, help, offer, code = fate(since, verb)
        group = groups.setdefault(key, Group(key, help, offer, code))
        group.targets.append(target)
        group.since |= {since.operation} if since else set()
    in_order = sorted(
        groups.values(), key=lambda group: (group.offer, -len(group.targets))
    )
    return Plan(operation, get_verb(verb), link, in_order)


def rows(
    operation: Operation, states: Sequence[str]
) -> Iterator[tuple[TargetSpec, str, str, str, int | None]]:
    found = operation.targets.filter(state__in=states).order_by("pk")
    columns = found.values_list(
        "target_id", "name", "subject", "state", "error_code", "chunk__http_status"
    )
    for id, name, *rest in columns.iterator(chunk_size=2000):
        yield TargetSpec(id, name), *rest  # type: ignore[misc]


def changes_since(
    operation: Operation, apart_from: Operation | None
) -> dict[str, Later]:
    """For each subject that was asked about again, the last asking that may have changed it."""
    again = Target.objects.filter(
        target_id__in=operation.targets.order_by().values("target_id"),
        subject__in=operation.targets.order_by().values("subject"),
        operation__gt=operation.pk,
        state__in=MAY_HAVE_CHANGED,
    ).order_by("pk")
    if apart_from:
        again = again.exclude(operation=apart_from)
    columns = again.values_list("subject", "operation", "operation__verb", "state")
    return {
        subject: Later(number, verb, state) for subject, number, verb, state in columns
    }


def fate(since: Later, verb: str) -> Sorted:
    """What becomes of a target of a follow-up that a later operation had to do with."""
    if since.state not in (State.OK, State.ALREADY):
        return "under way", UNDER_WAY, Offer.NEVER, ""
    if since.verb == verb:
        return "done since", DONE_SINCE, Offer.NEVER, ""
    if since.state == State.ALREADY:
        return "wanted since", WANTED_SINCE, Offer.POSSIBLE, ""
    return "changed since", CHANGED_AGAIN, Offer.POSSIBLE, ""


@dataclass(frozen=True)
class FollowUp:
    """A retry or undo of chosen targets, as its form requests it.

    seen  the fingerprint of the plan that the actor saw
    """

    plan: Plan
    targets: Sequence[TargetSpec]
    seen: str
    reason: str
    ticket: str
    key: str

    def request(self, targets: Sequence[TargetSpec]) -> OperationRequest:
        followed: dict[str, Any] = {self.plan.link: self.plan.of}
        return OperationRequest(
            self.plan.verb.name,
            targets,
            reason=self.reason,
            ticket=self.ticket,
            key=self.key,
            target_type=self.plan.of.target_type,
            policy_id=self.plan.of.policy_id,
            policy_name=self.plan.of.policy_name,
            **followed,
        )


def follow(follow_up: FollowUp, actor: Actor, client: Client) -> Operation:
    """Record a retry or an undo of exactly what the actor saw.

    Raise Outdated if more has changed since, and as ``create_operation`` does.
    """
    plan = follow_up.plan
    expect(follow_up.seen, plan)
    request = follow_up.request(follow_up.targets)
    if earlier := find_operation(request, actor):
        return earlier
    standing = plan.verb.standing_now(client, plan.of, request.ids)
    request = follow_up.request(
        [
            TargetSpec(target.id, target.name, standing.get(target.id))
            for target in request.targets
        ]
    )
    check(request, actor)
    plan_again = {"retry_of": retry, "undo_of": undo}[plan.link]
    try:
        with audited_transaction(durable=True):
            operation, _chunks = record(request, actor)
            # IoTDA was read: another operation may have started and ended meanwhile.
            expect(follow_up.seen, plan_again(plan.of, apart_from=operation))
            return operation
    except IntegrityError:
        return find_or_conflict(request, actor)


def expect(seen: str, plan: Plan) -> None:
    if seen != plan.fingerprint:
        message = _(
            "More has changed since you opened this page. Look at it again, then send it."
        )
        raise Outdated(message)
