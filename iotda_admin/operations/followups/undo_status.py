"""Whether anything of an operation is left to be undone, for its page: what `followups.undo` would find, but
asked of the database at once instead of reading each target."""

from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from iotda_admin.operations.followups.plan import MAY_HAVE_CHANGED
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.verbs import get_verb

State = Target.State
UNDER_WAY = Q(state__in=(State.PENDING, State.SENT, State.UNKNOWN))
# More are not looked for one by one: of 100,000 that takes a second.
SMALL_OPERATION = 1000


@dataclass(frozen=True, slots=True)
class FullyUndone:
    """Nothing is left. by: the one later operation that had to do with all of it, if there is one."""

    by: Operation | None
    # It may turn out that something is left after all.
    under_way: bool = False


def fully_undone(operation: Operation, changed: int) -> FullyUndone | None:
    """changed: how many targets it changed. None: something is left, or may be."""
    return (
        fully_undone_by_target(operation)
        if changed <= SMALL_OPERATION
        else fully_undone_by_one(operation, changed)
    )


def fully_undone_by_one(operation: Operation, changed: int) -> FullyUndone | None:
    """An undo has no target but those that were changed. Where it took several, or none but changes that were
    asked for by themselves, or where anything was changed in the same way since, only the undo's own page
    tells whether something is left."""
    done = Count("targets", filter=Q(targets__state__in=Target.DONE))
    undo = (
        operation.undos.annotate(done=done).filter(done=changed).order_by("pk").last()
    )
    same = {
        "policy_id": operation.policy_id,
        "target_type": operation.target_type,
        "verb": operation.verb,
    }
    again = undo and Operation.objects.filter(pk__gt=undo.pk, **same).exists()
    return FullyUndone(undo) if undo and not again else None


def fully_undone_by_target(operation: Operation) -> FullyUndone | None:
    undoing = Q(operation__verb=get_verb(operation.verb).inverse, state__in=Target.DONE)
    if without_later(operation, undoing | UNDER_WAY).exists():
        return None
    under_way = without_later(operation, undoing).exists()
    return FullyUndone(single_later_operation(operation), under_way)


def changed_by(operation: Operation) -> QuerySet[Target]:
    return operation.targets.filter(state=State.OK).order_by()


def later_targets(states: Q) -> QuerySet[Target]:
    """Of a target, how later operations on the same ended."""
    the_same = {"target_id": OuterRef("target_id"), "subject": OuterRef("subject")}
    return Target.objects.filter(states, pk__gt=OuterRef("pk"), **the_same).order_by()


def without_later(operation: Operation, by: Q) -> QuerySet[Target]:
    """What it changed, without that of which the last change since is such a one."""
    last = later_targets(by).filter(
        ~Exists(later_targets(Q(state__in=MAY_HAVE_CHANGED)))
    )
    return changed_by(operation).filter(~Exists(last))


def single_later_operation(operation: Operation) -> Operation | None:
    first = changed_by(operation)[:1].get()
    alike = Target.objects.filter(
        target_id=first.target_id, subject=first.subject, pk__gt=first.pk
    )
    last = alike.filter(state__in=MAY_HAVE_CHANGED).order_by("pk").last()
    if last is None:
        # It has failed in the moment between the two looks.
        return None
    in_it = later_targets(Q(operation=last.operation_id, state__in=MAY_HAVE_CHANGED))
    return (
        None
        if changed_by(operation).filter(~Exists(in_it)).exists()
        else last.operation
    )
