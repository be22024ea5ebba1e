"""An operation's events in the audit trail."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from iotda_admin.audit.record import deferred_events, record_event
from iotda_admin.operations.counts import format_counts
from iotda_admin.operations.models import Chunk, Operation
from iotda_admin.operations.verbs import TargetOutcome


@contextmanager
def audited_transaction(*, durable: bool = False) -> Iterator[None]:
    """A transaction whose events are appended at its end: with the trail locked, it waits for nothing."""
    with transaction.atomic(durable=durable), deferred_events():
        yield


def describe_change(operation: Operation) -> str:
    """What is done, as the trail keeps it: "freeze", "bind quarantine to"."""
    verb = operation.verb.rpartition(".")[2]
    preposition = "from" if verb == "unbind" else "to"
    return (
        f"{verb} {operation.policy_name} {preposition}" if operation.policy_id else verb
    )


# What the trail calls each type of target: one of them, and several.
TYPE_NAMES = {
    "device": ("device", "devices"),
    "product": ("product", "products"),
    "app": ("resource space", "resource spaces"),
}


def describe_target(operation: Operation, name: str) -> str:
    return f"{describe_change(operation)} {TYPE_NAMES[operation.target_type][0]} {name}"


def describe_count(operation: Operation, number: int) -> str:
    return f"{describe_change(operation)} {number:,} {TYPE_NAMES[operation.target_type][number != 1]}"


def describe_targets(
    operation: Operation, ids: Sequence[str], names: Mapping[str, str]
) -> str:
    return (
        describe_target(operation, names.get(ids[0]) or ids[0])
        if len(ids) == 1
        else describe_count(operation, len(ids))
    )


def record_operation_event(kind: str, operation: Operation, **facts: Any) -> None:
    record_event(
        kind,
        **{
            "actor_id": operation.actor_id,
            "actor_name": operation.actor_name,
            "role": operation.role,
            "source": operation.source,
            "address": operation.address,
            "operation": operation.pk,
            "verb": operation.verb,
            "policy_id": operation.policy_id,
            "policy_name": operation.policy_name,
            "target_type": operation.target_type,
            "space": operation.space,
            "reason": operation.reason,
            "ticket": operation.ticket,
            **facts,
        },
    )


def record_chunk_event(
    kind: str,
    operation: Operation,
    chunk: Chunk,
    verdicts: Mapping[str, TargetOutcome],
    names: Mapping[str, str],
    **facts: Any,
) -> None:
    """What became of a chunk, or of some of its targets."""
    counts = Counter(str(verdict.state) for verdict in verdicts.values())
    record_operation_event(
        kind,
        operation,
        chunk=chunk.number,
        attempt=chunk.attempts,
        summary=describe_targets(operation, list(verdicts or names), names),
        outcome=format_counts(counts),
        targets=[
            (id, names.get(id, ""), str(verdict.state), verdict.code, verdict.message)
            for id, verdict in verdicts.items()
        ],
        **facts,
    )
