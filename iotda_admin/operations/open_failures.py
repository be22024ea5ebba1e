"""Open failures: targets that failed or are unknown, until they are resolved."""

from collections.abc import Mapping
from itertools import batched

from django.db import connection
from django.db.models import BooleanField, Exists, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from iotda_admin.audit.record import record_event
from iotda_admin.core.bulk_sql import among
from iotda_admin.operations.models import Operation, Target

# `resolved_by` of a failure ends so if a later operation failed on its target too.
FAILED_AGAIN = ", which failed again"
TARGETS_PER_STATEMENT = 1000
# Fewer open failures than this are looked for among the targets of an operation that has
# ended; of more, those targets are looked for among them.
FEW_FAILURES = 1000
HAS_FAILURES = Exists(
    Target.objects.filter(
        operation=OuterRef("pk"), state__in=Target.FAILURES
    ).order_by()
)


def in_states(*states: str, alias: str = "operations_target") -> Q | RawSQL:
    """Match states; as literals on SQLite, which else does not use a partial index."""
    if connection.vendor != "sqlite":
        return Q(state__in=states)
    literals = ", ".join(f"'{state}'" for state in states)
    sql = f'"{alias}"."state" IN ({literals})'
    return RawSQL(sql, (), output_field=BooleanField())  # noqa: S611


def unresolved_failures() -> QuerySet[Target]:
    """Return all open failures, by the index `target_unsolved`.

    Not for a subquery, in which the table has an alias.
    """
    # The condition on the code makes SQLite use the index, not the order of the ids.
    return Target.objects.filter(
        in_states(*Target.FAILURES), resolved_at=None, error_code__gte=""
    )


def with_failures(operations: QuerySet[Operation]) -> QuerySet[Operation]:
    """Narrow operations to those with failures, open or resolved."""
    return operations.filter(HAS_FAILURES)


def with_open_failures(operations: QuerySet[Operation]) -> QuerySet[Operation]:
    """Narrow operations to those with open failures, by the index `target_unsolved`."""
    failures = Target.objects.filter(
        in_states(*Target.FAILURES, alias="U0"), resolved_at=None, error_code__gte=""
    )
    return operations.filter(pk__in=failures.order_by().values("operation"))


def actionable_failures() -> QuerySet[Target]:
    """Return the open failures whose subject no operation is changing now."""
    in_flight = in_states(*Target.IN_FLIGHT, alias="U0")
    same_subject = Target.objects.filter(in_flight, subject=OuterRef("subject"))
    return unresolved_failures().filter(~Exists(same_subject.order_by()))


def mark_resolved(targets: QuerySet[Target], by: str) -> int:
    """Resolve the targets. Skip locked rows; not waiting cannot deadlock."""
    if connection.features.has_select_for_update_skip_locked:
        free = targets.order_by().select_for_update(skip_locked=True)
        targets = Target.objects.filter(pk__in=free.values("pk"))
    return targets.order_by().update(resolved_at=timezone.now(), resolved_by=by[:200])


def resolve_earlier(operation: Operation, counts: Mapping[str, int]) -> None:
    """Resolve earlier failures on the targets of an operation that has ended.

    Where the same change failed again, only the later failure stays open.
    """
    resolved = again = 0
    earlier = Operation.objects.filter(pk__lt=operation.pk).order_by()
    if any(counts.get(state) for state in Target.DONE):
        done = operation.targets.filter(state__in=Target.DONE)
        resolved = resolve_same_subjects(done, earlier, str(operation))
    if any(counts.get(state) for state in Target.FAILURES):
        failed = operation.targets.filter(state__in=Target.FAILURES)
        earlier = earlier.filter(verb=operation.verb)
        again = resolve_same_subjects(failed, earlier, f"{operation}{FAILED_AGAIN}")
    if resolved or again:
        record_event(
            "failure.solved",
            source="worker",
            operation=operation.pk,
            verb=operation.verb,
            ticket=operation.ticket,
            space=operation.space,
            summary=f"{operation}: earlier failures resolved: {resolved}, failed again: {again}",
            detail={"solved": resolved, "again": again},
        )


def resolve_same_subjects(
    own: QuerySet[Target], operations: QuerySet[Operation], by: str
) -> int:
    """Resolve the open failures of these operations on the subjects of `own`."""
    found = unresolved_failures().order_by().values_list("target_id", flat=True)
    few = list(found[:FEW_FAILURES])
    if len(few) < FEW_FAILURES:
        own = own.filter(among("target_id", few))
    keys = own.order_by().values_list("target_id", "subject")
    resolved = 0
    # By value, not as a subquery of `own`: PostgreSQL has no statistics of new rows
    # and compares each with each, which takes minutes for thousands.
    for group in batched(list(keys), TARGETS_PER_STATEMENT):
        ids, subjects = zip(*group, strict=True)
        failures = Target.objects.filter(
            among("target_id", ids),
            among("subject", subjects),
            state__in=Target.FAILURES,
            resolved_at=None,
            operation__in=operations,
        )
        resolved += mark_resolved(failures, by)
    return resolved
