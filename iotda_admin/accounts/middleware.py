from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from iotda_admin.access.kept_forms import keep_form
from iotda_admin.access.models import KeptForm
from iotda_admin.access.scope import user_spaces
from iotda_admin.audit.record import record_read_event, record_request_event
from iotda_admin.core.error_views import DATABASE_UNAVAILABLE, database_unavailable
from iotda_admin.core.middleware import Middleware


class SignInRequired(LoginRequiredMiddleware):
    """Send a browser without a session to the login page, and back afterwards.

    The form of a POST is kept, and filled in again after signing in. A fragment request
    makes the browser load the login page as a whole.
    """

    def handle_no_permission(  # type: ignore[override]
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponseBase:
        htmx = request.htmx  # type: ignore[attr-defined]
        try:
            back_to = htmx.current_url_abs_path if htmx else page_to_return_to(request)
        except ValueError:
            # The browser sent an invalid URL as its current page.
            back_to = ""
        query = {"next": back_to or reverse("overview")}
        if ended := getattr(request, "session_ended", ""):
            query["ended"] = ended
        match = request.resolver_match
        if request.method == "POST" and match and match.view_name != "accounts:logout":
            query["unsent"] = "1"
            if kept := keep_form(request, view_func, KeptForm.Reason.SESSION_ENDED):
                query["next"] = kept
        url = f"{reverse('accounts:login')}?{urlencode(query, safe='/')}"
        return HttpResponseClientRedirect(url) if htmx else HttpResponseRedirect(url)


def page_to_return_to(request: HttpRequest) -> str:
    """Return the page to open after signing in; for a POST, the page with its form."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    page = urlsplit(request.headers.get("Referer", ""))
    return (
        page._replace(scheme="", netloc="", fragment="").geturl()
        if page.netloc == request.get_host()
        else ""
    )


class RecordDenied(Middleware):
    """Record each denied request in the audit trail, whatever denied it.

    A denial that cannot be recorded is not answered as one.
    """

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        if is_denial(request, exception):
            try:
                record_denial(request)
            except DATABASE_UNAVAILABLE as error:
                return database_unavailable(request, error)
        return None


def is_denial(request: HttpRequest, exception: Exception) -> bool:
    """Return whether a user tried what is not permitted.

    A user with limited spaces requested an object that was not found. The answer does
    not say whether it exists in another space. Many such attempts are worth an
    auditor's attention.
    """
    if isinstance(exception, PermissionDenied):
        return True
    match = request.resolver_match
    return bool(
        isinstance(exception, Http404)
        and match
        and match.kwargs
        and user_spaces(request.user) is not None
    )


def record_denial(request: HttpRequest) -> None:
    match, path = request.resolver_match, request.path[:500]
    ids = match.kwargs if match else {}
    named = ids.keys() & {"device_id", "target_id", "policy_id"}
    reads = request.method in ("GET", "HEAD")
    (record_read_event if reads else record_request_event)(
        "denied",
        request,
        outcome="denied",
        summary=path,
        # A search for these finds the event.
        targets=[(ids[name],) for name in sorted(named)],
        # The URL can name an object of any space: show it only to those who see all.
        space="*" if ids else "",
        detail={"method": request.method, "path": path},
    )
