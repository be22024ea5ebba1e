"""Rules for passwords beside Django's, for every place where one is set."""

import os

from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import (
    MinimumLengthValidator,
    NumericPasswordValidator,
    validate_password,
)
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from django.utils.translation import gettext as _

from iotda_admin.core.free_text import is_visible


class VisibleCharactersValidator:
    """Apply Django's rules on length and digits without blanks and invisible signs."""

    rules = (MinimumLengthValidator(), NumericPasswordValidator())

    def validate(self, password: str, user: User | None = None) -> None:
        visible = "".join(filter(is_visible, password))
        if visible != password:
            for rule in self.rules:
                rule.validate(visible, user)

    def get_help_text(self) -> str:
        return _("Blanks do not count.")


class OldPasswordValidator:
    def validate(self, password: str, user: User | None = None) -> None:
        # Not user.check_password: it saves a hash of other parameters again.
        if (
            user
            and user.has_usable_password()
            and check_password(password, user.password)
        ):
            raise ValidationError(
                _("This is the old password. Choose another."),
                code="password_unchanged",
            )

    def get_help_text(self) -> str:
        return _("Your password can’t be the one that you have now.")


def require_good_password(variable: str, user: User) -> None:
    """Raise CommandError if the rules forbid the password in an environment variable."""
    try:
        validate_password(os.environ[variable], user)
    except ValidationError as error:
        raise CommandError(f"{variable}: {' '.join(error.messages)}") from None
