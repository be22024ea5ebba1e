"""Warnings while IoTDA does not answer, or no worker is alive."""

from contextlib import suppress
from typing import Any

from django import template
from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError

from iotda_admin.health import workers
from iotda_admin.inventory.connection_errors import explain_error
from iotda_admin.rate.platform_state import PlatformFailure, current_failure

register = template.Library()


@register.inclusion_tag("parts/no_worker.html", takes_context=True)
def no_worker(context: template.Context) -> dict[str, Any]:
    missing = not workers.live_workers().exists()
    return {"missing": missing, "may_mend": may_mend(context["user"])}


@register.simple_tag(takes_context=True)
def platform_failure(context: template.Context) -> PlatformFailure | None:
    """Return how IoTDA fails, if it does. A page reads it once, for each of its parts."""
    request = context["request"]
    if not context["user"].is_authenticated:
        return None
    if not hasattr(request, "platform_failure"):
        request.platform_failure = None
        # A page is shown without it, too.
        with suppress(DatabaseError):
            request.platform_failure = current_failure()
    failure: PlatformFailure | None = request.platform_failure
    return failure


@register.inclusion_tag("parts/platform_failure.html", takes_context=True)
def platform_warning(
    context: template.Context, failure: PlatformFailure | None, over: str = ""
) -> dict[str, Any]:
    """Say how IoTDA fails and what to do, to users who can correct it and to others."""
    if failure is None or not failure.current:
        return {"over": over, "shown": over, "tone": "ok"}
    cause = explain_error(failure.error) if may_mend(context["user"]) else ""
    return {
        "failure": failure,
        "shown": failure.key,
        "tone": failure.tone,
        "cause": cause,
    }


def may_mend(user: User | AnonymousUser) -> bool:
    """Whether the user manages this installation: settings and processes."""
    return user.is_staff or user.is_superuser
