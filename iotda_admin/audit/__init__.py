"""The trail of what happened: append-only, one row per event.

The public names of this room; nothing else in here is for other rooms.
"""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

    from iotda_admin.audit.models import Event

__all__ = ["address_of", "record", "record_request", "role_of"]


def record(kind: str, *, actor: "User | AnonymousUser | None" = None, **facts: Any) -> "Event":
    """Append one event. Names are stored beside ids: an account or a device can be gone tomorrow.

    Call it inside the transaction of the change it describes: if the row cannot be written,
    the change must not happen.
    """
    from iotda_admin.audit.models import Event

    if actor is not None and actor.is_authenticated:
        facts = {
            "actor_id": actor.pk,
            "actor_name": actor.get_username(),
            "role": facts.get("role") or role_of(actor),
            **facts,
        }
    return Event.objects.create(kind=kind, **without_nul(facts))


def without_nul(value: Any) -> Any:
    """PostgreSQL stores no NUL, and what is recorded may be whatever somebody sent."""
    match value:
        case str():
            return value.replace("\0", "")
        case dict():
            return {without_nul(key): without_nul(each) for key, each in value.items()}
        case list() | tuple():
            return [without_nul(each) for each in value]
        case _:
            return value


def record_request(kind: str, request: HttpRequest, **facts: Any) -> "Event":
    """Append what somebody did, or tried to do, on the web."""
    return record(kind, actor=request.user, source="web", address=address_of(request), **facts)


def role_of(user: "User | AnonymousUser") -> str:
    """The role as it is recorded beside what somebody did."""
    if not user.is_authenticated:
        return ""
    names = sorted(user.groups.values_list("name", flat=True))
    return ", ".join([*(["superuser"] if user.is_superuser else []), *names])[:100]


def address_of(request: HttpRequest) -> str:
    """The caller's address. A forwarded one counts only behind a declared proxy, and only its last hop."""
    forwarded = request.headers.get("X-Forwarded-For", "") if settings.BEHIND_PROXY else ""
    return (forwarded.rpartition(",")[2].strip() or request.META.get("REMOTE_ADDR", ""))[:45]
