"""How operations belong together: as retries and undos."""

from dataclasses import dataclass

from django.db.models import Q

from iotda_admin.operations.models import Operation


@dataclass(frozen=True, slots=True)
class OperationLink:
    """An operation that another one follows, or that follows it.

    kind: retry_of or undo_of, or from the other side retried_by or undone_by.
    """

    kind: str
    operation: Operation
    attempt: int = 0


def operation_links(operation: Operation) -> list[OperationLink]:
    found = []
    if operation.retry_of_id:
        found.append(OperationLink("retry_of", *first_attempt(operation)))
    if operation.undo_of:
        found.append(OperationLink("undo_of", operation.undo_of))
    follows = Operation.objects.filter(
        Q(retry_of=operation) | Q(undo_of=operation)
    ).order_by("pk")
    for later in follows.prefetch_related("spaces"):
        retries = later.retry_of_id == operation.pk
        found.append(OperationLink("retried_by" if retries else "undone_by", later))
    return found


def first_attempt(operation: Operation) -> tuple[Operation, int]:
    """Return the first operation of a chain of retries, and the number of this attempt."""
    attempt = 1
    while operation.retry_of:
        operation, attempt = operation.retry_of, attempt + 1
    return operation, attempt
