"""The middlewares of the product, in the order of settings.MIDDLEWARE."""

import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_vary_headers

from iotda_admin.core import metrics
from iotda_admin.core.database import committed
from iotda_admin.core.error_views import DATABASE_UNAVAILABLE, database_unavailable
from iotda_admin.core.logging import request_id
from iotda_admin.core.time_zone import zone_named

log = logging.getLogger(__name__)
REQUEST_ID_HEADER = "X-Request-Id"
# static/app.js sets it to the time zone of the browser.
TIME_ZONE_COOKIE = "iotda_admin_zone"
# Probes arrive every few seconds; they are logged at the debug level.
PROBES = {"/healthz", "/readyz", "/metrics"}
LOGGED_PATH_LENGTH = 500
# Browser features that could observe the user or reach a device. Only names that
# every browser knows: browsers warn about others.
DENIED_FEATURES = (
    "accelerometer", "camera", "display-capture", "fullscreen", "geolocation", "gyroscope", "hid",
    "magnetometer", "microphone", "midi", "payment", "publickey-credentials-get", "serial", "usb",
)  # fmt: skip
HEADERS = {
    "Permissions-Policy": ", ".join(f"{name}=()" for name in DENIED_FEATURES),
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Middleware:
    """Pass the request on unchanged; subclasses override what they need."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)


class RequestId(Middleware):
    """Give each request an id for the log, the audit trail and the response.

    It comes first, so that the log lines of the other middlewares carry the id.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        before = request_id.set(id_from_proxy(request) or secrets.token_hex(8))
        try:
            response = self.get_response(request)
            response.headers[REQUEST_ID_HEADER] = request_id.get()
        finally:
            request_id.reset(before)
        return response


def id_from_proxy(request: HttpRequest) -> str:
    """Return the proxy's request id, so that its log and ours can be correlated."""
    value = request.headers.get(REQUEST_ID_HEADER, "") if settings.BEHIND_PROXY else ""
    return value if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value) else ""


class AccessLog(Middleware):
    """Log and count each request, without its query: that holds search terms."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - started
        metrics.count_request(request, response, seconds)
        # Reading the user from the database only to log it would cost a query.
        user = getattr(request, "_cached_user", None)
        event = {
            "method": request.method,
            "path": request.path[:LOGGED_PATH_LENGTH],
            "status": response.status_code,
            "ms": round(seconds * 1000, 1),
            "user": user.pk if user else None,
        }
        log.log(
            logging.DEBUG if request.path_info in PROBES else logging.INFO,
            "%(method)s %(path)s %(status)s %(ms)s ms user=%(user)s",
            event,
            extra={"event": event},
        )
        return response


class Headers(Middleware):
    """Set security headers that Django does not set, on every response."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class TimeZone(Middleware):
    """Activate the browser's time zone; without its cookie, settings.TIME_ZONE."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with timezone.override(zone_named(request.COOKIES.get(TIME_ZONE_COOKIE, ""))):
            return self.get_response(request)


class BodyLimit(Middleware):
    """Reject a body that is too large or of unknown length before it is read."""

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        length = request.headers.get("Content-Length", "")
        # int() raises for very many digits, so their number is checked first.
        too_large = length.isdecimal() and (
            len(length) > 18 or int(length) > settings.BODY_LIMIT
        )
        if too_large or "Transfer-Encoding" in request.headers:
            raise RequestDataTooBig


class DatabaseErrors(Middleware):
    """Answer 503 when the database is locked, full or down."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        committed.set(False)
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        if isinstance(exception, DATABASE_UNAVAILABLE):
            return database_unavailable(request, exception)
        return None


class NoStore(Middleware):
    """Keep device data out of caches; a page and its fragments share one URL."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        patch_vary_headers(response, ["HX-Request", "HX-History-Restore-Request"])
        return response
