"""An operation's events in the audit trail."""

from typing import Any

from iotda_admin import audit
from iotda_admin.operations.models import Operation


def deed(operation: Operation) -> str:
    """What is done, as the trail keeps it: "freeze", "bind quarantine to"."""
    verb = operation.verb.rpartition(".")[2]
    preposition = "from" if verb == "unbind" else "to"
    return f"{verb} {operation.policy_name} {preposition}" if operation.policy_id else verb


def event(kind: str, operation: Operation, **facts: Any) -> None:
    audit.record(
        kind,
        actor=operation.actor,
        actor_name=operation.actor_name,
        role=operation.role,
        source=operation.source,
        address=operation.address,
        operation=operation.pk,
        verb=operation.verb,
        reason=operation.reason,
        ticket=operation.ticket,
        **facts,
    )
