"""How operations belong together: as retries and undos, and one after another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Q

from iotda_admin.operations.error_codes import NOT_RELEASED
from iotda_admin.operations.models import Operation, Target


@dataclass(frozen=True, slots=True)
class OperationLink:
    """An operation that another one follows, or that follows it.

    kind: retry_of, undo_of or after; from the other side retried_by, undone_by or
          before; prepared_by is what a retry was sent after
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
    if operation.after:
        found.append(OperationLink("after", operation.after))
    follows = Operation.objects.filter(
        Q(retry_of=operation) | Q(undo_of=operation) | Q(after=operation)
    ).order_by("pk")
    for later in follows.select_related("after").prefetch_related("spaces"):
        if later.after_id == operation.pk:
            found.append(OperationLink("before", later))
        elif later.retry_of_id == operation.pk:
            if later.after:
                found.append(OperationLink("prepared_by", later.after))
            found.append(OperationLink("retried_by", later))
        else:
            found.append(OperationLink("undone_by", later))
    return found


def first_attempt(operation: Operation) -> tuple[Operation, int]:
    """Return the first operation of a chain of retries, and the number of this attempt."""
    attempt = 1
    while operation.retry_of:
        operation, attempt = operation.retry_of, attempt + 1
    return operation, attempt


@dataclass(frozen=True, slots=True)
class OperationPair:
    """Two operations of which the second is sent only once the first is done.

    state: "waiting" for the first, "unconfirmed" if its outcome is unknown, "ready" to
           be sent, "sent" without an outcome so far, "stopped" as the first was not done
    """

    first: Operation
    second: Operation
    state: str

    @property
    def operations(self) -> tuple[Operation, Operation]:
        return self.first, self.second

    @property
    def open(self) -> bool:
        return self.state != "stopped"


def open_pairs(
    operation: Operation, links: Sequence[OperationLink]
) -> list[OperationPair]:
    """Return the pairs to name on the page of an operation: those without an end, and
    the last one if it was stopped."""
    linked = [each.operation for each in links if each.kind in ("before", "retried_by")]
    seconds = [each for each in (operation, *linked) if each.after]
    return [
        OperationPair(each.after, each, state)
        for each in seconds
        if each.after and (state := pair_state(each.after, each))
        if state != "stopped" or each is seconds[-1]
    ]


def pair_state(first: Operation, second: Operation) -> str:
    """Return the state of a pair; empty if the second was sent and has ended."""
    if second.finished_at:
        return "stopped" if second.stop_code == NOT_RELEASED else ""
    if first.finished_at:
        pending = second.targets.filter(state=Target.State.PENDING)
        return "ready" if pending.exists() else "sent"
    unknown = first.targets.filter(state=Target.State.UNKNOWN)
    return "unconfirmed" if unknown.exists() else "waiting"


def busy_targets(pairs: Sequence[OperationPair]) -> Iterator[str]:
    """Yield the targets that open pairs are changing."""
    for pair in pairs:
        if pair.open:
            yield from pair.second.targets.values_list("target_id", flat=True)
