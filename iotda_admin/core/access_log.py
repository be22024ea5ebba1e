"""A line and a count for each request."""

import logging
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from iotda_admin.core import metrics

log = logging.getLogger(__name__)
# Asked every few seconds by machines.
PROBES = {"/healthz", "/readyz", "/metrics"}
PATH_LIMIT = 500


class AccessLog:
    """A line a request. Without the query: what people search for is nobody's business in a log."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - started
        metrics.answered(request, response, seconds)
        event = {
            "method": request.method,
            "path": request.path[:PATH_LIMIT],
            "status": response.status_code,
            "ms": round(seconds * 1000, 1),
            "user": user_id(request),
        }
        level = logging.DEBUG if request.path in PROBES else logging.INFO
        log.log(
            level,
            "%(method)s %(path)s %(status)s %(ms)s ms user=%(user)s",
            event,
            extra={"event": event},
        )
        return response


def user_id(request: HttpRequest) -> int | None:
    """As far as somebody has asked who it is: a log line is no reason to read the database."""
    user = getattr(request, "_cached_user", None)
    return user.pk if user is not None else None
