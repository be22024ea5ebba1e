from math import ceil
from typing import Any

from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import LoginView, PasswordChangeView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse, reverse_lazy
from django.views.decorators.http import require_safe

from iotda_admin.accounts import sessions
from iotda_admin.accounts.forms import OwnPasswordForm, SignInForm
from iotda_admin.operations.audit_log import audited_transaction


class ThrottledFormMixin:
    """Answer 429 with the time to wait after too many wrong passwords."""

    def form_invalid(self, form: BaseForm) -> HttpResponse:
        wait = getattr(form, "wait", 0)
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
        return super().get_context_data(
            ended=sessions.end_message(self.request.GET.get("ended", "")), **kwargs
        )


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
