from collections.abc import Callable
from urllib.parse import urlsplit

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from iotda_admin.access.scope import user_spaces
from iotda_admin.audit.record import record_request_event


class SignIn(LoginRequiredMiddleware):
    """Every page needs a signed-in user. A fragment must not be answered with the login page itself:
    the browser is sent there, and afterwards back to the page that asked."""

    def handle_no_permission(  # type: ignore[override]
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponseBase:
        htmx = request.htmx  # type: ignore[attr-defined]
        try:
            back_to = htmx.current_url_abs_path if htmx else asked_from(request)
        except ValueError:
            # What the browser names as its page is no address.
            back_to = ""
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
        page._replace(scheme="", netloc="", fragment="").geturl()
        if page.netloc == request.get_host()
        else ""
    )


class RecordDenied:
    """A denied try stands in the audit trail, whichever view or decorator refused it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        if isinstance(exception, PermissionDenied) or self.is_elsewhere(
            request, exception
        ):
            detail = {"method": request.method, "path": request.path[:500]}
            record_request_event(
                "denied",
                request,
                outcome="denied",
                summary=request.path[:500],
                targets=named_in(request),
                # The address names something, of whichever space: only for who may see all of them.
                space="*" if asks_for_one(request) else "",
                detail=detail,
            )

    def is_elsewhere(self, request: HttpRequest, exception: Exception) -> bool:
        """What somebody's resource spaces do not have: what there is elsewhere is not told from what there
        is not at all, and a row of such tries is worth an auditor's look."""
        scoped = asks_for_one(request) and user_spaces(request.user) is not None
        return isinstance(exception, Http404) and scoped


def named_in(request: HttpRequest) -> list[tuple[str]]:
    """What the address names, so that the try is found by it. The event is for who may see all spaces."""
    kwargs = request.resolver_match.kwargs if request.resolver_match else {}
    return [
        (kwargs[name],)
        for name in ("device_id", "target_id", "policy_id")
        if kwargs.get(name)
    ]


def asks_for_one(request: HttpRequest) -> bool:
    return bool(request.resolver_match and request.resolver_match.kwargs)
