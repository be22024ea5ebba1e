from collections.abc import Callable

from django.contrib.auth.decorators import permission_required, user_passes_test
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from iotda_admin.access.scope import AnyUser
from iotda_admin.audit.head import chain_head
from iotda_admin.audit.models import Event
from iotda_admin.audit.pages import trail_page
from iotda_admin.audit.search import presets
from iotda_admin.audit.search.filters import AuditFilterForm
from iotda_admin.audit.search.query import TrailSearch, visible_events
from iotda_admin.audit.search.search_box import filter_for_text
from iotda_admin.audit.triggers import triggers_intact
from iotda_admin.core.http import render
from iotda_admin.core.pagination import paginate

type Export = Callable[[HttpRequest, AuditFilterForm], HttpResponseBase]


def can_read_trail(user: AnyUser) -> bool:
    """Admit users who may read the audit trail, or at least their own operations."""
    permissions = ("audit.view_event", "operations.view_own_operation")
    if not any(map(user.has_perm, permissions)):
        raise PermissionDenied
    return True


@require_safe
@user_passes_test(can_read_trail)
def event_list(request: HttpRequest) -> HttpResponse:
    form, link = AuditFilterForm(request.GET), ""
    if form.is_valid():
        if text := request.GET.get("q", "").replace("\0", "").strip():
            return redirect_to_filters(form, **filter_for_text(text, request.user))
        if "" in request.GET.values():
            return redirect_to_filters(form)
        link = request.build_absolute_uri(f"?{form.query()}")
    context = {
        "form": form,
        "page": trail_page(TrailSearch(form, request.user), request),
        "all_events": request.user.has_perm("audit.view_event"),
        "link": link,
        "head": chain_head(),
        "triggers_intact": triggers_intact(),
        "presets": presets.preset_searches(),
        "working_hours": presets.working_hours_text(),
    }
    return render(request, "audit/events.html", context)


def redirect_to_filters(form: AuditFilterForm, **more: str) -> HttpResponse:
    """Redirect to the URL that has only the active filters."""
    return redirect(f"{reverse('audit:events')}?{form.query(**more)}")


@require_safe
@user_passes_test(can_read_trail)
def event_detail(request: HttpRequest, seq: int) -> HttpResponse:
    event = get_object_or_404(Event, visible_events(request.user), pk=seq)
    context = {
        "event": event,
        "previous": Event.objects.filter(pk=seq - 1).first(),
        "page": paginate(event.outcomes.all(), request),
    }
    return render(request, "audit/event.html", context)


@require_safe
@permission_required("audit.view_event", raise_exception=True)
def frequent_codes(request: HttpRequest) -> HttpResponse:
    codes, older = presets.frequent_error_codes(request.user)
    context = {"codes": codes, "older": older, "counted": presets.MAX_FAILURES_COUNTED}
    return render(request, "audit/codes.html", context)


@require_safe
@permission_required("audit.export_event", raise_exception=True)
def event_export(request: HttpRequest, export: Export) -> HttpResponseBase:
    """Export the events; if a filter is invalid, show the page."""
    form = AuditFilterForm(request.GET)
    if form.is_valid() and not request.GET.get("q"):
        return export(request, form)
    return redirect(f"{reverse('audit:events')}?{request.GET.urlencode()}")
