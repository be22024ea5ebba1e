"""Which operations somebody may see, and whether its targets are theirs to change: by resource spaces.

An operation belongs to the spaces of all its targets. Who may not see one of them may not see it at all.
"""

from collections.abc import Iterable, Sequence

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from iotda_admin.access.scope import AnyUser, can_see_space, in_scope, user_spaces
from iotda_admin.operations.models import Operation, OperationSpace
from iotda_admin.operations.verbs import Verb

# Of the ids that a refusal is about.
NAMED = 20


def visible_operations(user: AnyUser) -> QuerySet[Operation]:
    """All operations for those who may see all, else the own ones; of both, those in the user's spaces."""
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
    of_it = OperationSpace.objects.filter(operation=OuterRef("pk"))
    return rows.filter(Exists(of_it), ~Exists(of_it.exclude(app_id__in=sorted(spaces))))


def can_see_operation(user: AnyUser, operation: Operation) -> bool:
    """As `visible_to`, of an operation that is at hand."""
    own = (
        user.has_perm("operations.view_own_operation") and operation.actor_id == user.pk
    )
    return (own or user.has_perm("operations.view_operation")) and covers_operation(
        user, operation
    )


def covers_operation(user: AnyUser, operation: Operation) -> bool:
    """Whether all spaces of the operation are the user's."""
    spaces = user_spaces(user)
    if spaces is None:
        return True
    of_it = {each.app_id for each in operation.spaces.all()}
    return bool(of_it) and of_it <= spaces


def spaces_of_targets(verb: Verb, operation: Operation, ids: Sequence[str]) -> set[str]:
    """The resource spaces of what is to be changed; an empty one for targets that nobody knows."""
    rows = verb.in_inventory(operation.target_type, ids).order_by()
    counts = dict(rows.values_list("app_id").annotate(Count("pk")))
    unknown = {""} if sum(counts.values()) < len(ids) else set()
    return {*counts, *unknown, *verb.other_spaces(operation)}


def targets_outside(
    verb: Verb, operation: Operation, ids: Sequence[str], user: AnyUser
) -> list[str]:
    """The ids that are not in the user's spaces. One that nobody knows is none of theirs either: who asks
    learns nothing of what there is elsewhere."""
    if user_spaces(user) is None:
        return []
    about = (
        []
        if all(can_see_space(user, space) for space in verb.other_spaces(operation))
        else [operation.policy_id]
    )
    return about + ids_missing_in(
        in_scope(verb.in_inventory(operation.target_type, ids), user), ids
    )


def outside_message(ids: Sequence[str]) -> str:
    more = f" … (+{len(ids) - NAMED})" if len(ids) > NAMED else ""
    said = ngettext(
        "This ID is not in your resource spaces: %(ids)s",
        "These %(n)d IDs are not in your resource spaces: %(ids)s",
        len(ids),
    )
    return said % {"n": len(ids), "ids": ", ".join(ids[:NAMED]) + more}


def limit_message(count: int, limit: int) -> str:
    said = _(
        "%(count)s targets are more than the %(limit)s that your role may change at once."
    )
    return said % {"count": intcomma(count), "limit": intcomma(limit)}


def ids_missing_in(known: QuerySet, ids: Iterable[str]) -> list[str]:  # type: ignore[type-arg]
    mine = set(known.order_by().values_list("pk", flat=True))
    return [id for id in ids if id not in mine]
