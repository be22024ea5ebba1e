from collections.abc import Callable

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
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
        if not htmx:
            return super().handle_no_permission(request, view_func)
        back_to = htmx.current_url_abs_path or "/"
        return HttpResponseClientRedirect(redirect_to_login(back_to, reverse("accounts:login")).url)


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
