from math import ceil
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import LoginView, PasswordChangeView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from django_htmx.http import HttpResponseClientRedirect

from iotda_admin.access import kept_forms
from iotda_admin.access.models import KeptForm
from iotda_admin.accounts import sessions
from iotda_admin.accounts.forms import OwnPasswordForm, SignInForm
from iotda_admin.core.http import refuse, wants_fragment
from iotda_admin.operations.audit_log import audited_transaction

# After this time, a user who was asked to try again probably finds a place.
BUSY_SECONDS = 5


class ThrottledFormMixin:
    """Answer 429 with the time to wait after too many wrong passwords.

    Answer the same, but without a limit of this user, while many other passwords are
    checked.
    """

    def form_invalid(self, form: BaseForm) -> HttpResponse:
        wait = getattr(form, "wait", 0)
        if getattr(form, "busy", False):
            context = self.get_context_data(form=form, busy=True)  # type: ignore[attr-defined]
            headers = {"Retry-After": str(BUSY_SECONDS)}
            return self.render_to_response(context, status=429, headers=headers)  # type: ignore[attr-defined,no-any-return]
        if not wait:
            return super().form_invalid(form)  # type: ignore[misc,no-any-return]
        context = self.get_context_data(form=form, minutes=ceil(wait / 60))  # type: ignore[attr-defined]
        headers = {"Retry-After": str(wait)}
        return self.render_to_response(context, status=429, headers=headers)  # type: ignore[attr-defined,no-any-return]


class SignInView(ThrottledFormMixin, LoginView):
    template_name = "accounts/login.html"
    form_class = SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        ended = sessions.end_message(self.request.GET.get("ended", ""))
        to_open = QueryDict(urlsplit(self.get_redirect_url()).query)
        kept = kept_forms.PARAMETER in to_open
        unsent = kept or "unsent" in self.request.GET
        return super().get_context_data(ended=ended, kept=kept, unsent=unsent, **kwargs)


class OwnPasswordView(ThrottledFormMixin, PasswordChangeView):
    http_method_names = ["get", "head", "post"]
    template_name = "accounts/password.html"
    form_class = OwnPasswordForm
    success_url = reverse_lazy("accounts:password", query={"changed": 1})

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        with audited_transaction():
            return super().form_valid(form)


@require_safe
def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Replace the admin's login page, so that there is one sign-in with one throttle."""
    if request.user.is_authenticated:
        raise PermissionDenied
    return redirect_to_login(
        request.GET.get("next", reverse("admin:index")), reverse("accounts:login")
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Keep a form that is older than the last sign-in, to be sent again."""
    match = request.resolver_match
    if match and match.view_name == "accounts:login" and request.user.is_authenticated:
        # Signed in meanwhile, in another tab.
        return redirect_to_login(
            request.POST.get("next") or reverse("overview"), request.path
        )
    why = KeptForm.Reason.SIGNED_IN_AGAIN
    if match and (url := kept_forms.keep_form(request, match.func, why)):
        return (
            HttpResponseClientRedirect(url)
            if wants_fragment(request)
            else HttpResponseRedirect(url)
        )
    sentence = _(
        "Nothing was sent: this form is too old. Reload the page and send it again."
    )
    return refuse(request, 403, "errors/csrf.html", sentence)
