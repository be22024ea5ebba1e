from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.actor import address_of
from iotda_admin.accounts import current_request, login_throttle


@contextmanager
def counted_attempt(
    form: "SignInForm | OwnPasswordForm", name: str, address: str
) -> Iterator[None]:
    """Count an attempt in this block as failed, unless the block ends without an error.

    After too many, the form is invalid and has the time to wait.
    """
    form.wait = login_throttle.count_attempt(name, address)
    if form.wait:
        raise ValidationError("", code="throttled")
    yield
    login_throttle.clear_attempts(name, address)


class SignInForm(AuthenticationForm):
    """The sign-in form. ``wait`` is the seconds until another attempt is allowed."""

    wait = 0

    def clean(self) -> dict[str, Any]:
        assert self.request is not None
        name = self.cleaned_data.get("username")
        address = address_of(self.request)
        if not name or not self.cleaned_data.get("password"):
            return super().clean()
        with counted_attempt(self, name, address):
            return super().clean()


class OwnPasswordForm(PasswordChangeForm):
    """Change a password; wrong old passwords count as failed sign-ins.

    Otherwise an open session of someone else could be used to guess the password.
    ``address`` is the client's. ``wait`` is the seconds until another attempt is allowed.
    """

    error_messages = PasswordChangeForm.error_messages | {
        "password_incorrect": _("This is not your password. It is case-sensitive.")
    }
    wait = 0

    def __init__(self, *args: Any, address: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.address = address

    def clean_old_password(self) -> str:
        name = self.user.get_username()
        with counted_attempt(self, name, self.address):
            try:
                return super().clean_old_password()
            except ValidationError:
                current_request.record_account_event(
                    "login.failed",
                    outcome="denied",
                    summary="wrong old password, to change it",
                )
                raise
