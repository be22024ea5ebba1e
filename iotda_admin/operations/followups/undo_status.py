"""Whether an operation is completely undone, for its page.

It finds what ``followups.undo`` would find, with one query instead of reading each target.
"""

from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from iotda_admin.operations.followups.plan import MAY_HAVE_CHANGED, State
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.verbs import get_verb

UNDER_WAY = Q(state__in=(State.PENDING, State.SENT, State.UNKNOWN))
# In larger operations targets are not compared one by one: 100,000 take a second.
SMALL_OPERATION = 1000


@dataclass(frozen=True, slots=True)
class FullyUndone:
    """Nothing is left to undo.

    by         the later operation that changed all of it, if it was only one
    under_way  some targets are being changed: they may still turn out to be left
    """

    by: Operation | None
    under_way: bool = False


def fully_undone(operation: Operation, changed: int) -> FullyUndone | None:
    """Return None if something is left, or may be.

    changed: how many targets the operation changed.
    """
    if changed <= SMALL_OPERATION:
        return fully_undone_by_target(operation)
    return fully_undone_by_one(operation, changed)


def fully_undone_by_one(operation: Operation, changed: int) -> FullyUndone | None:
    """Look for one undo with as many targets: it has no others than those changed.

    If several undos or other changes were needed, or if the same change was requested
    again since, only the page of the undo shows whether something is left.
    """
    done = Count("targets", filter=Q(targets__state__in=Target.DONE))
    undos = operation.undos.annotate(done=done).filter(done=changed)
    undo = undos.order_by("pk").last()
    if undo is None:
        return None
    again = Operation.objects.filter(
        pk__gt=undo.pk,
        policy_id=operation.policy_id,
        target_type=operation.target_type,
        verb=operation.verb,
    )
    return None if again.exists() else FullyUndone(undo)


def fully_undone_by_target(operation: Operation) -> FullyUndone | None:
    undoing = Q(operation__verb=get_verb(operation.verb).inverse, state__in=Target.DONE)
    if without_later(operation, undoing | UNDER_WAY).exists():
        return None
    under_way = without_later(operation, undoing).exists()
    return FullyUndone(single_later_operation(operation), under_way)


def changed_by(operation: Operation) -> QuerySet[Target]:
    return operation.targets.filter(state=State.OK).order_by()


def later_targets(states: Q) -> QuerySet[Target]:
    """Return the same target in later operations, for a subquery on targets."""
    the_same = {"target_id": OuterRef("target_id"), "subject": OuterRef("subject")}
    return Target.objects.filter(states, pk__gt=OuterRef("pk"), **the_same).order_by()


def without_later(operation: Operation, by: Q) -> QuerySet[Target]:
    """Return the targets that it changed and whose last later change is another."""
    newer = later_targets(Q(state__in=MAY_HAVE_CHANGED))
    last = later_targets(by).filter(~Exists(newer))
    return changed_by(operation).filter(~Exists(last))


def single_later_operation(operation: Operation) -> Operation | None:
    first = changed_by(operation)[:1].get()
    alike = Target.objects.filter(
        target_id=first.target_id, subject=first.subject, pk__gt=first.pk
    )
    last = alike.filter(state__in=MAY_HAVE_CHANGED).order_by("pk").last()
    if last is None:
        # It failed between the two queries.
        return None
    in_it = later_targets(Q(operation=last.operation_id, state__in=MAY_HAVE_CHANGED))
    others = changed_by(operation).filter(~Exists(in_it))
    return None if others.exists() else last.operation
