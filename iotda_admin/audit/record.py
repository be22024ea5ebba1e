"""Append events to the audit trail."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest

from iotda_admin.access.actor import address_of, role_of
from iotda_admin.access.current_request import client_facts
from iotda_admin.access.scope import user_spaces
from iotda_admin.audit.chain import NewEvent, append_events
from iotda_admin.audit.denials import append_denial
from iotda_admin.audit.models import Event
from iotda_admin.core.database import brief_transaction
from iotda_admin.core.logging import request_id

# How long a request that changes nothing waits for the lock of another process.
READ_SECONDS = 0.25

deferred: ContextVar[list[NewEvent] | None] = ContextVar("deferred", default=None)


def record_event(
    kind: str,
    *,
    actor: User | AnonymousUser | None = None,
    targets: Sequence[tuple[str, ...]] = (),
    **columns: Any,
) -> None:
    """Append one event; ``columns`` are columns of ``audit.models.Event``.

    A target is its id, name, outcome, code and message; all but the id are optional.
    Names are stored beside ids because an account or a device can be deleted later.

    Many denied requests of one user become one event; see ``audit.denials``.

    Call it as the last statement in the transaction of the change: if the event cannot
    be written, the change must not happen, and no other process can append until the
    transaction ends.
    """
    if actor is not None and actor.is_authenticated:
        columns = {
            "actor_id": actor.pk,
            "actor_name": actor.get_username(),
            "role": role_of(actor),
            **columns,
        }
    columns = {"request_id": request_id.get(), **columns, "kind": kind}
    if columns.get("source") == "web" and (facts := client_facts()):
        columns["detail"] = {**columns.get("detail", {}), **facts}
    event = NewEvent(columns, targets)
    events = deferred.get()
    if kind == Event.Kind.DENIED:
        append_denial(event)
    elif events is None:
        append_events([event])
    else:
        events.append(event)


def record_request_event(kind: str, request: HttpRequest, **columns: Any) -> None:
    """Append an event about a web request, with its user and address."""
    record_event(
        kind,
        actor=request.user,
        source="web",
        address=address_of(request),
        **columns,
    )


def record_read_event(kind: str, request: HttpRequest, **columns: Any) -> None:
    """Append an event about a request that changes nothing, before it is answered.

    Raises OperationalError soon if another process is writing to the database.
    """
    with brief_transaction(READ_SECONDS):
        record_request_event(kind, request, **columns)


def record_export_event(
    request: HttpRequest, summary: str, filters: Mapping[str, object], **detail: str
) -> None:
    """Append the event of a download of a list, with its filters.

    Only readers who see all that was searched see the event. Raises as
    ``record_read_event`` does.
    """
    spaces = user_spaces(request.user)
    texts = {name: str(value) for name, value in filters.items()}
    record_read_event(
        "export",
        request,
        space=min(spaces) if spaces and len(spaces) == 1 else "*",
        summary=summary,
        detail={"filters": texts, **detail},
    )


def events_are_deferred() -> bool:
    return deferred.get() is not None


@contextmanager
def deferred_events() -> Iterator[None]:
    """Append the events recorded in this block together, at its end.

    For transactions that take other locks: waiting for those while holding the lock
    of the trail could deadlock. Use it inside the transaction.
    """
    if events_are_deferred():
        yield
        return
    events: list[NewEvent] = []
    token = deferred.set(events)
    try:
        yield
    finally:
        deferred.reset(token)
    if events:
        append_events(events)
