from collections.abc import Callable
from urllib.parse import urlsplit

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from iotda_admin import audit


class SignIn(LoginRequiredMiddleware):
    """Every page needs a signed-in user. A fragment must not be answered with the login page itself:
    the browser is sent there, and afterwards back to the page that asked."""

    def handle_no_permission(  # type: ignore[override]
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponseBase:
        htmx = request.htmx  # type: ignore[attr-defined]
        back_to = htmx.current_url_abs_path if htmx else asked_from(request)
        url = redirect_to_login(back_to or "/", reverse("accounts:login")).url
        if ended := getattr(request, "session_ended", ""):
            url = f"{url}&ended={ended}"
        return HttpResponseClientRedirect(url) if htmx else HttpResponseRedirect(url)


def asked_from(request: HttpRequest) -> str:
    """The page to come back to: what was sent cannot be sent again by opening its address."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    page = urlsplit(request.headers.get("Referer", ""))
    return (
        page._replace(scheme="", netloc="", fragment="").geturl() if page.netloc == request.get_host() else ""
    )


class RecordDenied:
    """A denied try stands in the audit trail, whichever view or decorator refused it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        if isinstance(exception, PermissionDenied):
            detail = {"method": request.method, "path": request.path[:500]}
            audit.record_request(
                "denied", request, outcome="denied", summary=request.path[:500], detail=detail
            )
