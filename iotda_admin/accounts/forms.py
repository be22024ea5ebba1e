from typing import Any

from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.actor import address_of
from iotda_admin.accounts import acting, throttle


class SignInForm(AuthenticationForm):
    """The only way to sign in. `wait`: seconds until another password is looked at."""

    wait = 0

    def clean(self) -> dict[str, Any]:
        assert self.request is not None
        name, address = (
            self.cleaned_data.get("username"),
            address_of(self.request),
        )
        if not name or not self.cleaned_data.get("password"):
            return super().clean()
        self.wait = throttle.begin(name, address)
        if self.wait:
            raise ValidationError("", code="throttled")
        cleaned = super().clean()
        throttle.succeeded(name, address)
        return cleaned


class OwnPasswordForm(PasswordChangeForm):
    """The old password is a password to guess, in a session that somebody else left open: it counts as at the
    sign-in. `address`: where it is typed. `wait`: seconds until another one is looked at."""

    error_messages = PasswordChangeForm.error_messages | {
        "password_incorrect": _("This is not your password. It is case-sensitive.")
    }
    wait = 0

    def __init__(self, *args: Any, address: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.address = address

    def clean_old_password(self) -> str:
        name = self.user.get_username()
        self.wait = throttle.begin(name, self.address)
        if self.wait:
            raise ValidationError("", code="throttled")
        try:
            old: str = super().clean_old_password()
        except ValidationError:
            acting.record(
                "login.failed",
                outcome="denied",
                summary="wrong old password, to change it",
            )
            raise
        throttle.succeeded(name, self.address)
        return old
