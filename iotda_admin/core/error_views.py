"""Views for requests that end in an error; urls.py and settings.py name them."""

import logging
import sys

from django.conf import settings
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import (
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.utils.translation import gettext as _

from iotda_admin.core.database import committed, is_locked
from iotda_admin.core.http import refuse

log = logging.getLogger(__name__)

# The second is the error for a connection that was lost in a transaction.
DATABASE_UNAVAILABLE = (OperationalError, InterfaceError)
RETRY_AFTER_SECONDS = 10


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig | TooManyFieldsSent | TooManyFilesSent):
        return refuse(request, 413, "errors/refused.html", too_large())
    return refuse(
        request, 400, "errors/refused.html", _("Nothing was sent: bad request.")
    )


def too_large() -> str:
    return _(
        "Nothing was sent: the request is too large. One operation takes up to "
        "%(targets)s targets, pasted as up to %(pasted)d MB of text or uploaded as a "
        "file of up to %(file)d MB. Use several operations for more."
    ) % {
        "targets": intcomma(settings.TARGETS_LIMIT),
        "pasted": settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1_000_000,
        "file": settings.BODY_LIMIT // 1_000_000,
    }


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    sentence = _("Your role does not allow this. Nothing was changed.")
    return refuse(request, 403, "403.html", sentence)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refuse(request, 404, "404.html", _("Not found. Reload the page."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 if a middleware could not reach the database, else 500."""
    error = sys.exception()
    if isinstance(error, DATABASE_UNAVAILABLE):
        return database_unavailable(request, error)
    return HttpResponse(get_template("500.html").render(), status=500)


def database_unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    # The cause is outside of the code: a traceback for each request would hide it.
    log.error("The database did not answer: %s: %s", request.path, error)
    response = refuse(request, 503, "errors/busy.html", reason_of(error))
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def reason_of(error: Exception) -> str:
    if is_locked(error) and not committed.get():
        return _(
            "Our database did not answer in time: another process is writing to it. "
            "Nothing was changed or sent. Try again in a moment."
        )
    return _(
        "Our database did not answer in time. Your request may have been recorded: "
        "check the operations before you send it again."
    )
