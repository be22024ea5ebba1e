"""Signing in and out stands in the audit trail, failed tries too."""

from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import (
    user_logged_in,
    user_logged_out,
    user_login_failed,
)
from django.dispatch import receiver
from django.http import HttpRequest

from iotda_admin.access.actor import address_of
from iotda_admin.accounts import sessions
from iotda_admin.audit.record import record_event


@receiver(user_logged_in)
def logged_in(request: HttpRequest, user: User, **_: Any) -> None:
    sessions.begin(request.session)
    record_event("login", actor=user, source="web", address=address_of(request))


@receiver(user_logged_out)
def logged_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:
        ended = getattr(request, "session_ended", "")
        summary = {
            "idle": "after a time without an action",
            "age": "at the end of the session",
        }.get(ended, "")
        record_event(
            "logout",
            actor=user,
            source="web",
            address=address_of(request),
            summary=summary,
        )


@receiver(user_login_failed)
def login_failed(
    credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any
) -> None:
    # What was typed as a name may be a password by mistake: only the name of a known account is kept.
    name = str(credentials.get("username", ""))
    known = User.objects.filter(username=name).exists()
    record_event(
        "login.failed",
        actor_name=name if known else "",
        source="web",
        address=address_of(request) if request else "",
        outcome="denied",
        detail={} if known else {"account": "unknown"},
    )
