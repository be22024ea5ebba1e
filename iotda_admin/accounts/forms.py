from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from iotda_admin.access.current_request import client_address
from iotda_admin.accounts import login_throttle
from iotda_admin.accounts.account_events import record_account_event
from iotda_admin.accounts.password_checks import TooManyChecks, place_for_check


@contextmanager
def counted_attempt(form: "SignInForm | OwnPasswordForm", name: str) -> Iterator[None]:
    """Count an attempt in this block as failed, unless the block ends without an error.

    After too many, the form is invalid and has the time to wait. It is busy, and nothing
    is counted, while many other passwords are checked.
    """
    address = client_address()
    with ExitStack() as stack:
        try:
            stack.enter_context(place_for_check())
        except TooManyChecks:
            form.busy = True
            raise ValidationError("", code="busy") from None
        form.wait = login_throttle.count_attempt(name, address)
        if form.wait:
            raise ValidationError("", code="throttled")
        yield
        login_throttle.clear_attempts(name, address)


class SignInForm(AuthenticationForm):
    """The sign-in form. ``wait`` is the seconds until another attempt is allowed."""

    wait, busy = 0, False

    def clean(self) -> dict[str, Any]:
        if self.errors:
            return super().clean()
        with counted_attempt(self, self.cleaned_data["username"]):
            return super().clean()


class OwnPasswordForm(PasswordChangeForm):
    """Change a password; wrong old passwords count as failed sign-ins.

    Otherwise an open session of someone else could be used to guess the password.
    ``wait`` is the seconds until another attempt is allowed.
    """

    error_messages = PasswordChangeForm.error_messages | {
        "password_incorrect": _("This is not your password. It is case-sensitive.")
    }
    wait, busy = 0, False

    def clean_old_password(self) -> str:
        with counted_attempt(self, self.user.get_username()):
            try:
                return super().clean_old_password()
            except ValidationError:
                record_account_event(
                    "login.failed",
                    outcome="denied",
                    summary="wrong old password, to change it",
                )
                raise
