"""Records the events of operations in the audit trail."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from iotda_admin.audit.record import (
    deferred_events,
    events_are_deferred,
    record_event,
)
from iotda_admin.core.database import note_commit
from iotda_admin.operations.counts import format_counts
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.verbs import Outcomes

# The most targets that one event names.
TARGETS_PER_EVENT = 1000
# The audit trail's name of each target type: singular and plural.
TYPE_NAMES = {
    "device": ("device", "devices"),
    "product": ("product", "products"),
    "app": ("resource space", "resource spaces"),
}
# The columns of an event that are those of its operation.
OPERATION_COLUMNS = (
    "actor_id", "actor_name", "role", "source", "address", "verb", "policy_id", "policy_name",
    "target_type", "space", "reason", "ticket",
)  # fmt: skip


@contextmanager
def audited_transaction(*, durable: bool = False) -> Iterator[None]:
    """Open a transaction that appends its audit events at its end.

    The audit trail is locked only then, so no other lock is waited for under that lock.
    Inside another such transaction it is a part of that: both are committed, or neither.
    """
    if events_are_deferred() and not durable:
        yield
        return
    with transaction.atomic(durable=durable), deferred_events():
        transaction.on_commit(note_commit)
        yield


def describe_change(operation: Operation) -> str:
    """Return what the operation does: "freeze", "bind quarantine to"."""
    verb = operation.verb.rpartition(".")[2]
    preposition = "from" if verb == "unbind" else "to"
    return (
        f"{verb} {operation.policy_name} {preposition}" if operation.policy_id else verb
    )


def describe_target(operation: Operation, name: str) -> str:
    return f"{describe_change(operation)} {TYPE_NAMES[operation.target_type][0]} {name}"


def describe_count(operation: Operation, number: int) -> str:
    type_name = TYPE_NAMES[operation.target_type][number != 1]
    return f"{describe_change(operation)} {number:,} {type_name}"


def describe_targets(operation: Operation, names: Mapping[str, str]) -> str:
    """Return the summary of a change of targets, given by ID with their names.

    A single target is named. If these are all products or spaces of the operation, it has
    their number of devices.
    """
    number = len(names)
    if number == 1:
        [(id, name)] = names.items()
        text = describe_target(operation, name or id)
    else:
        text = describe_count(operation, number)
    if operation.devices is None or operation.targets.count() != number:
        return text
    return text + describe_reach(operation)


def describe_rows(operation: Operation, rows: QuerySet[Target], number: int) -> str:
    """Return the summary of a change of so many rows, as ``describe_targets``."""
    if number > 1 and operation.devices is None:
        return describe_count(operation, number)
    names = rows.order_by().values_list("target_id", "name")
    return describe_targets(operation, dict(names))


def describe_reach(operation: Operation) -> str:
    """Return " (1,234 devices)" for products or a whole space, else nothing."""
    if operation.devices is None:
        return ""
    return f" ({operation.devices:,} {TYPE_NAMES['device'][operation.devices != 1]})"


def record_operation_event(kind: str, operation: Operation, **columns: Any) -> None:
    """Append an event about an operation; `columns` override those of the operation."""
    own = {name: getattr(operation, name) for name in OPERATION_COLUMNS}
    record_event(kind, **{"operation": operation.pk, **own, **columns})


def record_chunk_event(
    kind: str,
    chunk: Chunk,
    outcomes: Outcomes,
    names: Mapping[str, str],
    **columns: Any,
) -> None:
    """Append an event about a chunk, or about some of its targets."""
    counts = Counter(str(outcome.state) for outcome in outcomes.values())
    record_operation_event(
        kind,
        chunk.operation,
        chunk=chunk.number,
        attempt=chunk.attempts,
        summary=describe_targets(
            chunk.operation, {id: names.get(id, "") for id in outcomes or names}
        ),
        outcome=format_counts(counts),
        targets=[
            (id, names.get(id, ""), str(outcome.state), outcome.code, outcome.message)
            for id, outcome in outcomes.items()
        ],
        **columns,
    )
