"""How operations belong together: asked again, undone."""

from dataclasses import dataclass

from django.db.models import Q

from iotda_admin.operations.models import Operation


@dataclass(frozen=True, slots=True)
class OperationLink:
    """kind: retry_of or undo_of for what an operation follows, retried_by or undone_by for the others."""

    kind: str
    operation: Operation
    attempt: int = 0


def operation_links(operation: Operation) -> list[OperationLink]:
    found = []
    if operation.retry_of_id:
        first, attempt = first_attempt(operation)
        found.append(OperationLink("retry_of", first, attempt))
    if operation.undo_of:
        found.append(OperationLink("undo_of", operation.undo_of))
    follows = Operation.objects.filter(
        Q(retry_of=operation) | Q(undo_of=operation)
    ).order_by("pk")
    for later in follows.prefetch_related("spaces"):
        found.append(
            OperationLink(
                "retried_by" if later.retry_of_id == operation.pk else "undone_by",
                later,
            )
        )
    return found


def first_attempt(operation: Operation) -> tuple[Operation, int]:
    """Return the first operation of a chain of retries, and the number of this attempt."""
    attempt = 1
    while operation.retry_of:
        operation, attempt = operation.retry_of, attempt + 1
    return operation, attempt
