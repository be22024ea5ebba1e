"""In whose name something is done that no view tells of, such as the saving of a user."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from iotda_admin.access.actor import system_user
from iotda_admin.audit.record import record_event, record_request_event

# None on the command line.
request_now: ContextVar[HttpRequest | None] = ContextVar("request_now", default=None)


class Acting:
    """Keeps the request at hand while it is answered."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        before = request_now.set(request)
        try:
            return self.get_response(request)
        finally:
            request_now.reset(before)


def record(kind: str, **facts: Any) -> None:
    request = request_now.get()
    if request is None:
        record_event(kind, actor_name=system_user(), source="cli", **facts)
    else:
        record_request_event(kind, request, **facts)
