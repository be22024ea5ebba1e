"""What every view shares: page or fragment, and the headers that go with it."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render as django_render
from django.utils.cache import patch_vary_headers


def wants_fragment(request: HttpRequest) -> bool:
    """A fragment only for a swap: a boosted link and a restored history entry need the whole page."""
    htmx = request.htmx  # type: ignore[attr-defined]
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def render(
    request: HttpRequest, template: str, context: dict[str, Any], *, part: str = "", status: int = 200
) -> HttpResponse:
    """Page and fragment are one template: `part` names the partial that a swap gets."""
    if part and wants_fragment(request):
        template = f"{template}#{part}"
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


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return django_render(request, "errors/csrf.html", {}, status=403)


def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers. It says nothing of IoTDA or of the worker."""
    return HttpResponse("ok", content_type="text/plain")
