from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from iotda_admin import audit
from iotda_admin.audit import export
from iotda_admin.audit.models import Event
from iotda_admin.audit.pages import of_search
from iotda_admin.audit.search import questions
from iotda_admin.audit.search.filters import FilterForm
from iotda_admin.audit.search.query import Search, visible
from iotda_admin.audit.search.search_box import meant
from iotda_admin.core.http import render
from iotda_admin.core.pagination import page_of

type View = Callable[..., HttpResponseBase]


def for_readers(view: View) -> View:
    """Who may read the trail, and who may read what they did themselves."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not any(
            map(
                request.user.has_perm,
                ("audit.view_event", "operations.view_own_operation"),
            )
        ):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return checked


@require_safe
@for_readers
def events(request: HttpRequest) -> HttpResponse:
    form = FilterForm(request.GET)
    if form.is_valid() and (text := request.GET.get("q", "").replace("\0", "").strip()):
        return to(form, **meant(text, request.user))
    if form.is_valid() and "" in request.GET.values():
        return to(form)
    search = Search(form, request.user)
    context = {
        "form": form,
        "page": of_search(search, request),
        "all_events": request.user.has_perm("audit.view_event"),
        "link": request.build_absolute_uri(f"{request.path}?{form.query()}")
        if form.is_valid()
        else "",
        "head": audit.head(),
        "guarded": audit.guarded(),
        "questions": questions.questions(),
        "working_hours": questions.working_hours(),
    }
    return render(request, "audit/events.html", context)


def to(form: FilterForm, **more: str) -> HttpResponse:
    """The address that names only the filters that are on."""
    return redirect(f"{reverse('audit:events')}?{form.query(**more)}")


@require_safe
@for_readers
def event(request: HttpRequest, seq: int) -> HttpResponse:
    own = visible(request.user)
    rows = Event.objects.all() if own is None else Event.objects.filter(own)
    found = get_object_or_404(rows, pk=seq)
    before = Event.objects.filter(pk=seq - 1).values_list("hash", flat=True).first()
    context = {
        "event": found,
        "before": before or "",
        "page": page_of(found.outcomes.all(), request),
    }
    return render(request, "audit/event.html", context)


@require_safe
@permission_required("audit.view_event", raise_exception=True)
def codes(request: HttpRequest) -> HttpResponse:
    found, older = questions.top_codes(request.user)
    context = {"codes": found, "older": older, "counted": questions.COUNTED}
    return render(request, "audit/codes.html", context)


@require_safe
@permission_required("audit.export_event", raise_exception=True)
def as_csv(request: HttpRequest) -> HttpResponseBase:
    return taken(request, export.csv)


@require_safe
@permission_required("audit.export_event", raise_exception=True)
def as_json(request: HttpRequest) -> HttpResponseBase:
    return taken(request, export.json_lines)


def taken(
    request: HttpRequest, written: Callable[..., HttpResponseBase]
) -> HttpResponseBase:
    """What is asked wrongly is not taken as if nothing were asked: the page says what is wrong."""
    form = FilterForm(request.GET)
    if form.is_valid() and not request.GET.get("q"):
        return written(request, form)
    return redirect(f"{reverse('audit:events')}?{request.GET.urlencode()}")
