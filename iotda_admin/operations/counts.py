"""Counts the targets of operations by state."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Q

from iotda_admin.operations.error_codes import NOT_SENT
from iotda_admin.operations.models import Operation, Target

State = Target.State
# In the order in which pages list them.
UNSUCCESSFUL = (State.FAILED, State.UNKNOWN, State.SKIPPED, State.CANCELLED)


def target_counts(operation: Operation) -> dict[str, int]:
    """Return the number of targets by state; at any moment the sum is the number requested."""
    rows = operation.targets.order_by().values_list("state").annotate(Count("pk"))
    return dict(sorted(rows))


def format_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def target_counts_by_operation(
    operations: Sequence[Operation],
) -> dict[int, dict[str, int]]:
    rows = (
        Target.objects.filter(operation__in=operations)
        .order_by()
        .values_list("operation", "state")
        .annotate(Count("pk"))
    )
    result: dict[int, dict[str, int]] = {operation.pk: {} for operation in operations}
    for operation_id, state, count in rows:
        result[operation_id][state] = count
    return result


@dataclass(frozen=True, slots=True)
class OverallOutcome:
    """The outcome of an operation as a whole."""

    counts: dict[str, int]

    @property
    def good(self) -> bool:
        """Return whether every target is as requested."""
        return not set(self.counts) - {State.OK, State.ALREADY}

    @property
    def http_status(self) -> int:
        """502 if IoTDA could not be reached for any target; a partial failure is a normal answer."""
        return 502 if set(self.counts) == {NOT_SENT} else 200


def overall_outcome(operation: Operation) -> OverallOutcome:
    counts = target_counts(operation)
    if set(counts) != {State.FAILED}:
        return OverallOutcome(counts)
    no_answer = Q(error_code=NOT_SENT) | Q(chunk__http_status__gte=500)
    unreached = operation.targets.filter(no_answer, state=State.FAILED).count()
    if unreached == sum(counts.values()):
        return OverallOutcome({NOT_SENT: unreached})
    return OverallOutcome(counts)
