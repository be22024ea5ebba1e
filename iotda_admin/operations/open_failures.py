"""What failed or got no clear answer, until nobody has to care about it any more."""

from collections.abc import Mapping, Sequence

from django.db import connection
from django.db.models import BooleanField, Exists, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from iotda_admin.audit.record import record_event
from iotda_admin.core.bulk_sql import values_subquery
from iotda_admin.operations.models import Operation, Target

State = Target.State
DONE = (State.OK, State.ALREADY)
FAILED_OR_UNKNOWN = (State.FAILED, State.UNKNOWN)
# How it ends what stands at a failure that was followed by another one.
AGAIN = ", which failed again"
# Up to so many targets of an operation, their own earlier failures are looked for one by one.
FEW = 1000


def in_states(*states: str, alias: str = "operations_target") -> Q | RawSQL:
    """Of our own words: as parameters, SQLite does not see that a partial index serves."""
    if connection.vendor != "sqlite":
        return Q(state__in=states)
    words = ", ".join(f"'{state}'" for state in states)
    return RawSQL(f'"{alias}"."state" IN ({words})', (), output_field=BooleanField())  # noqa: S611


def unsolved() -> QuerySet[Target]:
    """By the index `target_unsolved`: cheap, however many targets there are besides. Not for a subquery,
    where the table has another name."""
    # Any code: without it, SQLite walks the whole table in the order of the ids.
    return Target.objects.filter(
        in_states(*FAILED_OR_UNKNOWN), solved_at=None, error_code__gte=""
    )


def waiting_for_somebody() -> QuerySet[Target]:
    """The unsolved ones that no operation is changing at this moment."""
    in_flight = in_states(State.PENDING, State.SENT, alias="U0")
    return unsolved().filter(
        ~Exists(
            Target.objects.filter(in_flight, subject=OuterRef("subject")).order_by()
        )
    )


def solve(targets: QuerySet[Target], by: str) -> int:
    """What others are writing at this moment is left alone: who does not wait, waits in no circle."""
    if connection.features.has_select_for_update_skip_locked:
        free = targets.order_by().select_for_update(skip_locked=True)
        targets = Target.objects.filter(pk__in=free.values("pk"))
    return targets.order_by().update(solved_at=timezone.now(), solved_by=by[:200])


def solve_earlier(operation: Operation, counts: Mapping[str, int]) -> None:
    """An operation has ended. What failed before on the targets that it settled is solved; and where the same
    failed again, only the later failure is to be cared about."""
    solved = solve(earlier(operation, DONE, counts), str(operation))
    again = solve(earlier(operation, FAILED_OR_UNKNOWN, counts), f"{operation}{AGAIN}")
    if solved or again:
        record_event(
            "failure.solved",
            source="worker",
            operation=operation.pk,
            verb=operation.verb,
            ticket=operation.ticket,
            space=operation.space,
            summary=f"{operation}: earlier failures solved: {solved}, failed again: {again}",
            detail={"solved": solved, "again": again},
        )


def earlier(
    operation: Operation, ended: Sequence[str], counts: Mapping[str, int]
) -> QuerySet[Target]:
    """The unsolved targets of earlier operations on which this one has ended so."""
    number = sum(counts.get(state, 0) for state in ended)
    own = operation.targets.filter(state__in=ended).order_by()
    before = Operation.objects.filter(pk__lt=operation.pk).order_by()
    before = (
        before.filter(verb=operation.verb) if ended == FAILED_OR_UNKNOWN else before
    )
    if not number:
        return Target.objects.none()
    if number > FEW:
        # From the side of the open ones: each is looked up in this operation.
        own = own.filter(target_id=OuterRef("target_id"), subject=OuterRef("subject"))
        return unsolved().filter(Exists(own), operation__in=before)
    ids, subjects = zip(*own.values_list("target_id", "subject"), strict=True)
    # Not as subqueries: PostgreSQL knows nothing of rows so young, and takes minutes.
    return Target.objects.filter(
        state__in=FAILED_OR_UNKNOWN,
        solved_at=None,
        target_id__in=values_subquery(ids),
        subject__in=values_subquery(subjects),
        operation__in=before,
    )
