"""Responses: a whole page, or the fragment that htmx swaps in."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render as django_render
from django_htmx.http import reswap, retarget


def wants_fragment(request: HttpRequest) -> bool:
    """Whether htmx swaps a part; boosted links and restored history need the page."""
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
    """Render the page, or only its partial `part` if htmx wants a fragment."""
    if part and wants_fragment(request):
        template = f"{template}#{part}"
        context = {**context, "fragment": True}
    return django_render(request, template, context, status=status)


def refuse(
    request: HttpRequest, status: int, template: str, sentence: str
) -> HttpResponse:
    """Render an error page; a fragment is the sentence alone, for the page's alert."""
    # An early middleware may fail before the one that sets request.htmx.
    if hasattr(request, "htmx") and wants_fragment(request):
        response = HttpResponse(sentence, status=status)
        return reswap(retarget(response, "#alert"), "innerHTML")
    return django_render(request, template, {"sentence": sentence}, status=status)
