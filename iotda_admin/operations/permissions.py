"""Who may see an operation, and who may request one: by permission, scope and limit.

An operation belongs to the resource spaces of all its targets. Every user who has all of
them may see the operation; a user without one of them may not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from iotda_admin.access.limits import target_limit
from iotda_admin.access.scope import AnyUser, can_see_space, in_scope, user_spaces
from iotda_admin.operations.models import Operation, OperationSpace
from iotda_admin.operations.requests import OperationRequest
from iotda_admin.operations.verbs import get_verb

# IDs that a message names.
NAMED = 20


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a user may do what a request says, and if not, why.

    denied_by  "permission", "limit" or "scope"; empty if it is allowed
    facts      what the audit trail tells about a denied request
    outside    the IDs that are not in the user's resource spaces
    spaces     the resource spaces in which the user may act; None: all
    """

    denied_by: str = ""
    message: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    outside: Sequence[str] = ()
    spaces: frozenset[str] | None = None

    @property
    def allowed(self) -> bool:
        return not self.denied_by


def authorize(user: AnyUser | None, subject: OperationRequest | Operation) -> Decision:
    """Decide whether a user may request this, or may have more of an operation sent.

    Without a user it is the command line: anyone with shell access has full permissions.
    The limit counts only for a request. One target out of scope denies the whole request,
    because half of a list would hide the mistake.
    """
    if user is None:
        return Decision()
    permission = get_verb(subject.verb).permission_for(subject.target_type)
    if not user.has_perm(permission):
        message = _("Your role does not allow this.")
        return Decision("permission", message, {"needs": permission})
    if isinstance(subject, Operation):
        denied_by = "" if covers_operation(user, subject) else "scope"
        return Decision(denied_by, spaces=user_spaces(user))
    if outside := targets_outside(subject, user):
        facts = {"outside": outside[:NAMED], "outside_count": len(outside)}
        return Decision("scope", outside_message(outside), facts, outside)
    limit = target_limit(user, permission)
    if limit is not None and len(subject.targets) > limit:
        message = limit_message(len(subject.targets), limit)
        return Decision("limit", message, {"cap": limit})
    return Decision(spaces=user_spaces(user))


def visible_operations(user: AnyUser) -> QuerySet[Operation]:
    """Return the operations whose spaces are all the user's, as ``covers_operation`` decides."""
    rows = Operation.objects.all()
    spaces = user_spaces(user)
    if spaces is None:
        return rows
    own = OperationSpace.objects.filter(operation=OuterRef("pk"))
    return rows.filter(Exists(own), ~Exists(own.exclude(app_id__in=sorted(spaces))))


def operations_in_queue(user: AnyUser) -> QuerySet[Operation]:
    """Return the visible operations whose failures are in the user's work queue.

    These are the user's own, or those of every user for a user who may see their failures.
    """
    rows = visible_operations(user)
    if user.has_perm("operations.view_operation"):
        return rows
    return rows.filter(actor=user.pk)


def operation_reaches_outside(spaces: frozenset[str]) -> Exists:
    """Return the condition that the operation of an audit event has a space
    outside these."""
    rows = OperationSpace.objects.filter(operation=OuterRef("operation"))
    return Exists(rows.exclude(app_id__in=sorted(spaces)))


def covers_operation(user: AnyUser, operation: Operation) -> bool:
    """Return whether all spaces of the operation are the user's."""
    spaces = user_spaces(user)
    if spaces is None:
        return True
    own = {each.app_id for each in operation.spaces.all()}
    return bool(own) and own <= spaces


def spaces_of_targets(request: OperationRequest) -> set[str]:
    """Return the resource spaces that a request touches; "" for unknown targets."""
    inventory = get_verb(request.verb).inventory
    spaces = {target.space or "" for target in request.targets}
    if any(target.space is None for target in request.targets):
        rows = inventory.rows(request.target_type, request.ids).order_by()
        counts = dict(rows.values_list("app_id").annotate(Count("pk")))
        spaces = set(counts)
        if sum(counts.values()) < len(request.ids):
            spaces.add("")
    return spaces | inventory.other_spaces(request)


def targets_outside(request: OperationRequest, user: AnyUser) -> list[str]:
    """Return the IDs that are not in the user's spaces.

    An unknown ID counts as outside, so a user learns nothing about other spaces.
    """
    if user_spaces(user) is None:
        return []
    inventory = get_verb(request.verb).inventory
    others = inventory.other_spaces(request)
    seen = all(can_see_space(user, space) for space in others)
    rows = in_scope(inventory.rows(request.target_type, request.ids), user)
    known = set(rows.order_by().values_list("pk", flat=True))
    outside = [id for id in request.ids if id not in known]
    return outside if seen else [request.policy_id, *outside]


def outside_message(ids: Sequence[str]) -> str:
    more = f" … (+{len(ids) - NAMED})" if len(ids) > NAMED else ""
    message = ngettext(
        "This ID is not in your resource spaces: %(ids)s",
        "These %(n)d IDs are not in your resource spaces: %(ids)s",
        len(ids),
    )
    return message % {"n": len(ids), "ids": ", ".join(ids[:NAMED]) + more}


def limit_message(count: int, limit: int) -> str:
    message = _(
        "%(count)s targets are more than the %(cap)s that your role may change at once."
    )
    return message % {"count": intcomma(count), "cap": intcomma(limit)}
