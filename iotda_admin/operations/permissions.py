"""Who may see an operation, and who may request one: by permission, scope and limit.

An operation belongs to the resource spaces of all its targets. A user who may not see one
of them may not see the operation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
    outside    the IDs that are not in the user's resource spaces
    spaces     the resource spaces in which the user may act; None: all
    """

    denied_by: str = ""
    message: str = ""
    permission: str = ""
    limit: int | None = None
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
        return Decision("permission", message, permission)
    if isinstance(subject, Operation):
        if covers_operation(user, subject):
            return Decision(spaces=user_spaces(user))
        return Decision("scope")
    limit = target_limit(user, permission)
    if outside := targets_outside(subject, user):
        return Decision("scope", outside_message(outside), limit=limit, outside=outside)
    if limit is not None and len(subject.targets) > limit:
        message = limit_message(len(subject.targets), limit)
        return Decision("limit", message, limit=limit)
    return Decision(limit=limit, spaces=user_spaces(user))


def visible_operations(user: AnyUser) -> QuerySet[Operation]:
    """Return all operations, or a user's own; both in_scope the user's spaces."""
    rows = Operation.objects.all()
    if not user.has_perm("operations.view_operation"):
        rows = rows.filter(actor=user.pk)
    return operations_in_scope(rows, user)


def operations_in_scope(
    rows: QuerySet[Operation], user: AnyUser
) -> QuerySet[Operation]:
    spaces = user_spaces(user)
    if spaces is None:
        return rows
    own = OperationSpace.objects.filter(operation=OuterRef("pk"))
    return rows.filter(Exists(own), ~Exists(own.exclude(app_id__in=sorted(spaces))))


def operation_reaches_outside(spaces: frozenset[str]) -> Exists:
    """Return the condition that the operation of an audit event has a space
    outside these."""
    rows = OperationSpace.objects.filter(operation=OuterRef("operation"))
    return Exists(rows.exclude(app_id__in=sorted(spaces)))


def can_see_operation(user: AnyUser, operation: Operation) -> bool:
    """Decide as ``visible_operations`` does, for a loaded operation."""
    own = operation.actor_id == user.pk
    own = own and user.has_perm("operations.view_own_operation")
    may = own or user.has_perm("operations.view_operation")
    return may and covers_operation(user, operation)


def covers_operation(user: AnyUser, operation: Operation) -> bool:
    """Return whether all spaces of the operation are the user's."""
    spaces = user_spaces(user)
    if spaces is None:
        return True
    own = {each.app_id for each in operation.spaces.all()}
    return bool(own) and own <= spaces


def spaces_of_targets(request: OperationRequest) -> set[str]:
    """Return the resource spaces that a request touches; "" for unknown targets."""
    verb = get_verb(request.verb)
    spaces = {target.space for target in request.targets}
    if None in spaces:
        rows = verb.inventory.rows(request.target_type, request.ids).order_by()
        counts = dict(rows.values_list("app_id").annotate(Count("pk")))
        unknown = {""} if sum(counts.values()) < len(request.ids) else set()
        spaces = {*counts, *unknown}
    known = {space for space in spaces if space is not None}
    return known | verb.inventory.other_spaces(request)


def targets_outside(request: OperationRequest, user: AnyUser) -> list[str]:
    """Return the IDs that are not in the user's spaces.

    An unknown ID counts as outside, so a user learns nothing about other spaces.
    """
    if user_spaces(user) is None:
        return []
    inventory = get_verb(request.verb).inventory
    others = inventory.other_spaces(request)
    about = (
        []
        if all(can_see_space(user, space) for space in others)
        else [request.policy_id]
    )
    rows = in_scope(inventory.rows(request.target_type, request.ids), user)
    return about + ids_missing_in(rows, request.ids)


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


def ids_missing_in(known: QuerySet, ids: Iterable[str]) -> list[str]:  # type: ignore[type-arg]
    found = set(known.order_by().values_list("pk", flat=True))
    return [id for id in ids if id not in found]
