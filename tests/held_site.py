"""URLs of a site with a limited view that answers when a test lets it."""

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from iotda_admin.core.concurrency import limit_concurrency

GATE = "gate"


@limit_concurrency("password checks")
@login_not_required
def held(request: HttpRequest) -> HttpResponse:
    """Wait until the test opens the other end of the pipe."""
    (settings.DATA_DIR / GATE).read_bytes()
    return HttpResponse("passed")


urlpatterns = [path("held/", held), path("", include("iotda_admin.urls"))]
