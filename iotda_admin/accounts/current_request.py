"""The current request, for audit events that no view records, such as a saved user."""

from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from iotda_admin.access.actor import address_of, system_user
from iotda_admin.audit.record import record_event, record_request_event
from iotda_admin.core.middleware import Middleware

# None on the command line.
current_request: ContextVar[HttpRequest | None] = ContextVar(
    "request_now", default=None
)


class CurrentRequest(Middleware):
    """Make the request available in `current_request` while it is answered."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        before = current_request.set(request)
        try:
            return self.get_response(request)
        finally:
            current_request.reset(before)


def client_address() -> str:
    """Return the address of the client; empty on the command line."""
    request = current_request.get()
    return address_of(request) if request else ""


def record_account_event(kind: str, **facts: Any) -> None:
    """Append an audit event with the user of the current request or the command line."""
    request = current_request.get()
    if request is None:
        record_event(kind, actor_name=system_user(), source="cli", **facts)
    else:
        record_request_event(kind, request, **facts)
