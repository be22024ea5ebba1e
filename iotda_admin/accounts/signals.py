"""Record sign-ins, sign-outs and failed sign-ins in the audit trail."""

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
from iotda_admin.access.current_request import client_address
from iotda_admin.accounts import sessions
from iotda_admin.audit.record import record_event, record_request_event

# Why a session ended, if the user did not sign out.
END_SUMMARIES = {
    "idle": "after a time without an action",
    "age": "at the end of the session",
}


@receiver(user_logged_in)
def record_login(request: HttpRequest, user: User, **_: Any) -> None:
    sessions.start_clock(request.session)
    record_event("login", actor=user, source="web", address=address_of(request))


@receiver(user_logged_out)
def record_logout(request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:
        summary = END_SUMMARIES.get(getattr(request, "session_ended", ""), "")
        record_request_event("logout", request, summary=summary)


@receiver(user_login_failed)
def record_failed_login(credentials: dict[str, Any], **_: Any) -> None:
    # Users type passwords as names by mistake, so only names of accounts are stored.
    name = str(credentials.get("username", ""))
    known = User.objects.filter(username=name).exists()
    record_event(
        "login.failed",
        actor_name=name if known else "",
        source="web",
        address=client_address(),
        outcome="denied",
        detail={} if known else {"account": "unknown"},
    )
