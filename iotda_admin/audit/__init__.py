"""The trail of what happened: append-only, one row per event, each bound to the one before it.

The public names of this room; nothing else in here is for other rooms.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest

from iotda_admin.core import request_id

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

    from iotda_admin.audit.chain import Draft, Touched

__all__ = [
    "guarded",
    "head",
    "record",
    "record_request",
    "together",
]

waiting: "ContextVar[list[Draft] | None]" = ContextVar("waiting", default=None)


def record(
    kind: str,
    *,
    actor: "User | AnonymousUser | None" = None,
    targets: "Sequence[Touched | tuple[str, ...]]" = (),
    **facts: Any,
) -> None:
    """Append one event. Names are stored beside ids: an account or a device can be gone tomorrow.

    targets: what it says of each: id, name, outcome, code, message.
    facts: columns of audit.models.Event.

    Call it inside the transaction of the change it describes, as the last thing there: if the row cannot be
    written, the change must not happen; and until the end of the transaction nobody else can append.
    """
    from iotda_admin.access.actor import role_of
    from iotda_admin.audit.chain import Draft, Touched, append

    if actor is not None and actor.is_authenticated:
        facts = {
            "actor_id": actor.pk,
            "actor_name": actor.get_username(),
            "role": facts.get("role") or role_of(actor),
            **facts,
        }
    draft = Draft(
        {"request_id": request_id.current.get(), **facts, "kind": kind},
        [Touched(*each) for each in targets],
    )
    held = waiting.get()
    if held is None:
        append([draft])
    else:
        held.append(draft)


@contextmanager
def together() -> Iterator[None]:
    """What is recorded in here is appended at once, at the end. For transactions that take other locks too,
    which must not be waited for with the trail's own in hand. Inside the transaction."""
    from iotda_admin.audit.chain import append

    if waiting.get() is not None:
        yield
        return
    drafts: list[Draft] = []
    token = waiting.set(drafts)
    try:
        yield
    finally:
        waiting.reset(token)
    if drafts:
        append(drafts)


def record_request(kind: str, request: HttpRequest, **facts: Any) -> None:
    """Append what somebody did, or tried to do, on the web."""
    from iotda_admin.access.actor import address_of

    record(kind, actor=request.user, source="web", address=address_of(request), **facts)


def guarded() -> bool:
    """Whether the database itself refuses to change the trail."""
    from iotda_admin.audit import triggers

    return triggers.guarded()


def head() -> str:
    """The end of the trail, for keeping elsewhere."""
    from iotda_admin.audit import chain

    return str(chain.head())
