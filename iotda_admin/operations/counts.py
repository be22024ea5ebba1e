"""Counts the targets of operations by state."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Q

from iotda_admin.operations.error_codes import NOT_SENT
from iotda_admin.operations.models import Operation, Target

State = Target.State
# The numbers of targets by state.
type Counts = dict[str, int]
# In the order in which pages list them.
UNSUCCESSFUL = (State.FAILED, State.UNKNOWN, State.SKIPPED, State.CANCELLED)


def target_counts(operation: Operation) -> Counts:
    """Return the number of targets by state; at any moment the sum is the number requested."""
    rows = operation.targets.order_by().values_list("state").annotate(Count("pk"))
    return dict(sorted(rows))


def format_counts(counts: Counts) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def target_counts_by_operation(
    operations: Sequence[Operation],
) -> dict[int, Counts]:
    rows = Target.objects.filter(operation__in=operations).order_by()
    result: dict[int, Counts] = {operation.pk: {} for operation in operations}
    counts = rows.values_list("operation", "state").annotate(Count("pk"))
    for operation_id, state, count in counts:
        result[operation_id][state] = count
    return result


@dataclass(frozen=True, slots=True)
class OverallOutcome:
    """The outcome of an operation as a whole.

    good         every target is as requested
    already      some targets were so before
    http_status  502 if IoTDA could not be reached for any target; a partial failure is a
                 normal answer
    """

    good: bool
    already: bool = False
    http_status: int = 200


def overall_outcome(operation: Operation) -> OverallOutcome:
    counts = target_counts(operation)
    if counts.keys() != {State.FAILED}:
        good = counts.keys() <= set(Target.DONE)
        return OverallOutcome(good, already=State.ALREADY in counts)
    no_answer = Q(error_code=NOT_SENT) | Q(chunk__http_status__gte=500)
    reached = operation.targets.exclude(no_answer).exists()
    return OverallOutcome(good=False, http_status=200 if reached else 502)
