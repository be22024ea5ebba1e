from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from iotda_admin import audit
from iotda_admin.accounts import throttle


class SignInForm(AuthenticationForm):
    """The only way to sign in. `wait`: seconds until another password is looked at."""

    wait = 0

    def clean(self) -> dict[str, Any]:
        assert self.request is not None
        name, address = self.cleaned_data.get("username"), audit.address_of(self.request)
        if not name or not self.cleaned_data.get("password"):
            return super().clean()
        self.wait = throttle.begin(name, address)
        if self.wait:
            raise ValidationError("", code="throttled")
        cleaned = super().clean()
        throttle.succeeded(name, address)
        return cleaned
