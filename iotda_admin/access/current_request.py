"""The current request, for what no view hands on: audit events of users, their browser."""

import hashlib
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponseBase

from iotda_admin.access.actor import address_of
from iotda_admin.core.free_text import single_line
from iotda_admin.core.middleware import Middleware

# None on the command line.
current_request: ContextVar[HttpRequest | None] = ContextVar(
    "request_now", default=None
)
USER_AGENT_LENGTH = 200
SESSION_LENGTH = 12


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


def client_facts() -> dict[str, str]:
    """Return the browser of the current request and its session, for the audit trail.

    The session is a hash of its key, which itself is a secret: events of one sign-in
    have the same.
    """
    if (request := current_request.get()) is None:
        return {}
    key = request.session.session_key or ""
    facts = {
        "user_agent": single_line(request.headers.get("User-Agent", "")),
        "session": hashlib.sha256(key.encode()).hexdigest()[:SESSION_LENGTH]
        if key
        else "",
    }
    return {name: text[:USER_AGENT_LENGTH] for name, text in facts.items() if text}
