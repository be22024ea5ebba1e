"""Audit events about users and roles."""

from typing import Any

from iotda_admin.access.actor import system_user
from iotda_admin.access.current_request import current_request
from iotda_admin.audit.record import record_event, record_request_event


def record_account_event(kind: str, **facts: Any) -> None:
    """Append an audit event with the user of the current request or the command line."""
    request = current_request.get()
    if request is None:
        record_event(kind, actor_name=system_user(), source="cli", **facts)
    else:
        record_request_event(kind, request, **facts)
