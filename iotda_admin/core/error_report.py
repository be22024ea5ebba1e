"""The error pages of the debug mode, without secrets.

Names are not enough: a secret can be in a URL, in an object or in a message. So the values
of all secret settings are removed from the finished page as well.
"""

import re
from collections.abc import ItemsView
from types import FrameType
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest
from django.utils.html import escape
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from iotda_admin.core import env

STARS = SafeExceptionReporterFilter.cleansed_substitute
# Shorter ones would remove words of the page.
SHORTEST = 4
PASSWORD_IN_URL = re.compile(r"""(://[^\s/@:'"<>]*:)[^\s/@'"<>]+@""")


class SecretFilter(SafeExceptionReporterFilter):
    """Hide our secrets, too, by their names; also in variables and in debug mode."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}"
        "|CSRF|CREDENTIAL|IOTDA_PROXY|BROKER_URL|DATABASE_URL|(^|_)[AS]K$",
        re.IGNORECASE,
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_traceback_frame_variables(
        self, request: Any, tb_frame: FrameType
    ) -> ItemsView[str, Any]:
        found = super().get_traceback_frame_variables(request, tb_frame)
        return {key: self.cleanse_setting(key, value) for key, value in found}.items()


class SecretReporter(ExceptionReporter):
    def get_traceback_html(self) -> str:  # type: ignore[override]
        return without_secrets(super().get_traceback_html())

    def get_traceback_text(self) -> str:  # type: ignore[override]
        return without_secrets(super().get_traceback_text())


def without_secrets(text: str) -> str:
    """Return the text with stars for the secret settings and for passwords in URLs."""
    long = [secret for secret in env.secrets_read if len(secret) >= SHORTEST]
    # The longest first: one can be a part of another.
    for secret in sorted(long, key=len, reverse=True):
        for form in {
            secret,
            escape(secret),
            escape(repr(secret)[1:-1]),
            quote(secret, ""),
        }:
            text = text.replace(form, STARS)
    return PASSWORD_IN_URL.sub(rf"\1{STARS}@", text)
