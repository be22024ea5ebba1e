"""What every view shares: page or fragment, and the headers that go with it."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import (
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render as django_render
from django.template.loader import get_template
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django_htmx.http import reswap, retarget

log = logging.getLogger(__name__)


def wants_fragment(request: HttpRequest) -> bool:
    """A fragment only for a swap: a boosted link and a restored history entry need the whole page."""
    htmx = request.htmx  # type: ignore[attr-defined]
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def render(
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    *,
    part: str = "",
    status: int = 200,
) -> HttpResponse:
    """Page and fragment are one template: `part` names the partial that a swap gets."""
    if part and wants_fragment(request):
        template = f"{template}#{part}"
        context = {**context, "fragment": True}
    return django_render(request, template, context, status=status)


class NoStore:
    """Device data stays out of every cache; the same URL serves a page and its fragments."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        patch_vary_headers(response, ["HX-Request", "HX-History-Restore-Request"])
        return response


class BodyLimit:
    """A body that is too large, or does not say how large it is, is refused before anything reads it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        length = request.headers.get("Content-Length", "")
        # Python makes no number of very many digits.
        too_long = length.isdecimal() and (
            len(length) > 18 or int(length) > settings.BODY_LIMIT
        )
        if too_long or "Transfer-Encoding" in request.headers:
            raise RequestDataTooBig


class DatabaseBusy:
    """Locked for too long, full, or gone: said so, and without a look into the database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        return busy(request) if isinstance(exception, OperationalError) else None


def busy(request: HttpRequest) -> HttpResponse:
    log.exception("The database did not answer: %s", request.path)
    sentence = _(
        "Our database did not answer in time. What you asked for may be recorded: look at the operations "
        "before you send it again."
    )
    return refuse(request, 503, "errors/busy.html", sentence)


def refuse(
    request: HttpRequest, status: int, template: str, sentence: str
) -> HttpResponse:
    """A page that says why not; where a fragment was asked for, the sentence alone, in the page's alert."""
    if hasattr(request, "htmx") and wants_fragment(request):
        return reswap(
            retarget(HttpResponse(sentence, status=status), "#alert"), "innerHTML"
        )
    return django_render(request, template, {"sentence": sentence}, status=status)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    sentence = _(
        "Nothing was sent: this form is too old. Reload the page and send it again."
    )
    return refuse(request, 403, "errors/csrf.html", sentence)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig | TooManyFieldsSent | TooManyFilesSent):
        return refuse(request, 413, "errors/refused.html", too_much())
    return refuse(
        request,
        400,
        "errors/refused.html",
        _("Nothing was sent: the request made no sense."),
    )


def too_much() -> str:
    sentence = _(
        "Nothing was sent: too much at once. One operation takes up to %(targets)s targets, pasted as up to "
        "%(pasted)d MB of text or uploaded as a file of up to %(file)d MB. Use several operations for more."
    )
    return sentence % {
        "targets": intcomma(settings.TARGETS_LIMIT),
        "pasted": settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1_000_000,
        "file": settings.BODY_LIMIT // 1_000_000,
    }


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refuse(
        request,
        403,
        "403.html",
        _("Your role does not allow this. Nothing was changed."),
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refuse(
        request, 404, "404.html", _("It is no longer there. Reload the page.")
    )


def fault(request: HttpRequest) -> HttpResponse:
    """Where a middleware met the database that does not answer, too, it is no fault of ours."""
    if isinstance(sys.exception(), OperationalError):
        return busy(request)
    return HttpResponse(get_template("500.html").render(), status=500)
