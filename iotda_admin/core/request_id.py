"""The id of the web request that is answered: it stands in the log, the audit trail and the answer."""

import re
import secrets
from collections.abc import Callable
from contextvars import ContextVar

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

HEADER = "X-Request-Id"
# Empty outside a request: in a worker, on the command line.
current: ContextVar[str] = ContextVar("request_id", default="")


class RequestId:
    """The first of all middlewares, so that whatever the others say can be found by it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        before = current.set(given(request) or secrets.token_hex(8))
        try:
            response = self.get_response(request)
            response.headers[HEADER] = current.get()
        finally:
            current.reset(before)
        return response


def given(request: HttpRequest) -> str:
    """The proxy's own id, so that its log and ours can be put side by side. Nobody else's is believed."""
    value = request.headers.get(HEADER, "") if settings.BEHIND_PROXY else ""
    return value if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value) else ""
