from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from django_htmx.http import (
    HttpResponseStopPolling,
    reswap,
    trigger_client_event,
)
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from iotda_admin.core import metrics
from iotda_admin.core.http import render
from iotda_admin.health import checks
from iotda_admin.health.gauges import Gauges
from iotda_admin.rate.platform_state import current_failure

# What an open page has shown if IoTDA answers again.
OVER = "over"


def healthz(request: HttpRequest) -> HttpResponse:
    """Liveness: this process answers."""
    return HttpResponse("ok", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Readiness; ?exclude=worker skips a check, as a load balancer of web servers needs."""
    found = checks.run_checks()
    vital = checks.VITAL - set(request.GET.getlist("exclude"))
    if any(found[name] != "ok" for name in vital):
        return JsonResponse({"status": "failed", "checks": found}, status=503)
    fine = all(word == "ok" for word in found.values())
    return JsonResponse({"status": "ok" if fine else "degraded", "checks": found})


@require_safe
def platform(request: HttpRequest) -> HttpResponse:
    """Show how IoTDA fails, if that has changed. Open pages poll this."""
    if not request.user.is_authenticated:
        # The session has ended: htmx stops polling and leaves the page as it is.
        return reswap(HttpResponseStopPolling(), "none")
    try:
        failure = current_failure()
    except DatabaseError:
        return HttpResponse(status=204)
    before = request.GET.get("shown", "")
    now = failure.key if failure and failure.current else ""
    if now == before or (before == OVER and not now):
        return HttpResponse(status=204)
    context = {"failure": failure, "over": OVER if not now else ""}
    response = render(request, "health/platform.html", context)
    # The overview shows the same.
    return trigger_client_event(response, "platform:changed")


@require_safe
def prometheus(request: HttpRequest) -> HttpResponse:
    if not settings.METRICS_TOKEN:
        return HttpResponse(status=404)
    given = request.headers.get("Authorization", "")
    if not constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}"):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    ours = CollectorRegistry()
    ours.register(Gauges())
    text = generate_latest(metrics.registry()) + generate_latest(ours)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)
