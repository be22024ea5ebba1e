from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from iotda_admin.core.http import render, wants_fragment
from iotda_admin.inventory import sync
from iotda_admin.inventory.models import SyncRun

RUNS_SHOWN = 30


@require_safe
def freshness(request: HttpRequest) -> HttpResponse:
    """Show the age of the inventory, and the last syncs.

    The age is polled during a sync; lists reload at its end.
    """
    context = {
        "runs": SyncRun.objects.exclude(started_at=None)[:RUNS_SHOWN],
        "counted": sync.sees_counts(request.user),
    }
    response = render(request, "inventory/freshness.html", context, part="line")
    last = SyncRun.objects.first()
    if last and not last.is_open:
        trigger_client_event(response, "inventory:synced")
    return response


@require_POST
def refresh(request: HttpRequest) -> HttpResponse:
    sync.request_sync()
    if wants_fragment(request):
        return render(request, "inventory/freshness.html", {}, part="line")
    back_to = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back_to, allowed_hosts={request.get_host()}):
        back_to = reverse("overview")
    return HttpResponseRedirect(back_to)
