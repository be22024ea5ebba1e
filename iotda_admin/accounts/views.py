from math import ceil
from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from iotda_admin.accounts import sessions
from iotda_admin.accounts.forms import SignInForm


class SignIn(LoginView):
    template_name = "accounts/login.html"
    form_class = SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(ended=sessions.reason(self.request.GET.get("ended", "")), **kwargs)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        wait = getattr(form, "wait", 0)
        if not wait:
            return super().form_invalid(form)
        context = self.get_context_data(form=form, minutes=ceil(wait / 60))
        return self.render_to_response(context, status=429, headers={"Retry-After": str(wait)})


@require_safe
def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Django's admin has a login page of its own: there shall be one door, with one lock."""
    if request.user.is_authenticated:
        raise PermissionDenied
    return redirect_to_login(request.GET.get("next", reverse("admin:index")), reverse("accounts:login"))
