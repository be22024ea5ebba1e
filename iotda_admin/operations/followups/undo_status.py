"""Whether anything of an operation is left to be undone, for its page: what `followups.undo` would find, but
asked of the database at once instead of reading each target."""

from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from iotda_admin.operations.followups.plans import MAY_HAVE_CHANGED
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.open_failures import DONE
from iotda_admin.operations.verbs import get_verb

State = Target.State
UNDER_WAY = Q(state__in=(State.PENDING, State.SENT, State.UNKNOWN))
# More are not looked for one by one: of 100,000 that takes a second.
FEW = 1000


@dataclass(frozen=True, slots=True)
class Undone:
    """Nothing is left. by: the one later operation that had to do with all of it, if there is one."""

    by: Operation | None
    # It may turn out that something is left after all.
    under_way: bool = False


def undone(operation: Operation, changed: int) -> Undone | None:
    """changed: how many targets it changed. None: something is left, or may be."""
    return of_few(operation) if changed <= FEW else by_one_undo(operation, changed)


def by_one_undo(operation: Operation, changed: int) -> Undone | None:
    """An undo has no target but those that were changed. Where it took several, or none but changes that were
    asked for by themselves, or where anything was changed in the same way since, only the undo's own page
    tells whether something is left."""
    done = Count("targets", filter=Q(targets__state__in=DONE))
    undo = (
        operation.undos.annotate(done=done).filter(done=changed).order_by("pk").last()
    )
    same = {
        "policy_id": operation.policy_id,
        "target_type": operation.target_type,
        "verb": operation.verb,
    }
    again = undo and Operation.objects.filter(pk__gt=undo.pk, **same).exists()
    return Undone(undo) if undo and not again else None


def of_few(operation: Operation) -> Undone | None:
    undoing = Q(operation__verb=get_verb(operation.verb).inverse, state__in=DONE)
    if not_followed(operation, undoing | UNDER_WAY).exists():
        return None
    under_way = not_followed(operation, undoing).exists()
    return Undone(the_one_that_followed(operation), under_way)


def changed_by(operation: Operation) -> QuerySet[Target]:
    return operation.targets.filter(state=State.OK).order_by()


def since(states: Q) -> QuerySet[Target]:
    """Of a target, how later operations on the same ended."""
    the_same = {"target_id": OuterRef("target_id"), "subject": OuterRef("subject")}
    return Target.objects.filter(states, pk__gt=OuterRef("pk"), **the_same).order_by()


def not_followed(operation: Operation, by: Q) -> QuerySet[Target]:
    """What it changed, without that of which the last change since is such a one."""
    last = since(by).filter(~Exists(since(Q(state__in=MAY_HAVE_CHANGED))))
    return changed_by(operation).filter(~Exists(last))


def the_one_that_followed(operation: Operation) -> Operation | None:
    first = changed_by(operation)[:1].get()
    alike = Target.objects.filter(
        target_id=first.target_id, subject=first.subject, pk__gt=first.pk
    )
    last = alike.filter(state__in=MAY_HAVE_CHANGED).order_by("pk").last()
    if last is None:
        # It has failed in the moment between the two looks.
        return None
    in_it = since(Q(operation=last.operation_id, state__in=MAY_HAVE_CHANGED))
    return (
        None
        if changed_by(operation).filter(~Exists(in_it)).exists()
        else last.operation
    )
