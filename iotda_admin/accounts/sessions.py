"""Sessions: how they are stored, and when they end."""

import logging
import time
from functools import partial
from itertools import batched
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.middleware import SessionMiddleware
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import ngettext

from iotda_admin.core.database import write_if_free
from iotda_admin.core.middleware import Middleware

log = logging.getLogger(__name__)

SIGNED_IN, SEEN = "signed_in_at", "seen_at"
# Saving the time of an action is a database write, so it happens at most this often.
SAVE_EVERY_SECONDS = 30
# Pages poll these by themselves; polling does not keep a session alive.
POLLED = {"inventory:freshness", "operations:operation", "platform"}


class SessionStore(db.SessionStore):
    """Django's, but it tells a database that does not answer from a deleted session."""

    def save(self, must_create: bool = False) -> None:
        try:
            super().save(must_create)
        except UpdateError as error:
            if isinstance(busy := error.__context__, OperationalError):
                raise busy from busy.__cause__
            raise


class Sessions(SessionMiddleware):
    """Django's, but a page does not wait to save that its messages were shown.

    If it cannot be saved, they are shown once more.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponse
    ) -> HttpResponse:
        save = partial(super().process_response, request, response)
        if request.method not in ("GET", "HEAD") or not request.session.modified:
            return save()
        write_if_free(save)
        return response


class SessionLimits(Middleware):
    """Sign out users whose session has exceeded a limit."""

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        if not request.user.is_authenticated:
            return
        now = int(time.time())
        if ended := exceeded_limit(request.session, now):
            request.session_ended = ended  # type: ignore[attr-defined]
            end_session(request)
        elif must_save(request, now - request.session[SEEN]):
            save_activity(request.session, now)


def end_session(request: HttpRequest) -> None:
    """Sign the user out; if the database is busy, only for this request."""
    if not write_if_free(partial(logout, request)):
        request.user = AnonymousUser()


def start_clock(session: SessionBase) -> None:
    session[SIGNED_IN] = session[SEEN] = int(time.time())


def exceeded_limit(session: SessionBase, now: int) -> str:
    """Return the limit that the session has exceeded, or an empty string.

    A session without times is older than this check, and counts as too old.
    """
    if now - session.get(SIGNED_IN, 0) >= settings.SESSION_HOURS * 3600:
        return "age"
    if now - session.get(SEEN, 0) >= settings.SESSION_IDLE_MINUTES * 60:
        return "idle"
    return ""


def must_save(request: HttpRequest, seconds: float) -> bool:
    """Return whether to save the time of this action, so long after the last one.

    If that is in the future, the clock was set back since.
    """
    return seconds < 0 or (seconds >= SAVE_EVERY_SECONDS and not is_poll(request))


def is_poll(request: HttpRequest) -> bool:
    match = request.resolver_match
    return bool(request.htmx) and match is not None and match.view_name in POLLED  # type: ignore[attr-defined]


def save_activity(session: SessionBase, now: int) -> None:
    """Save the time of an action now; if that fails, the page is answered all the same."""
    before = session.modified
    session[SEEN], session[SIGNED_IN] = now, min(session[SIGNED_IN], now)
    try:
        write_if_free(session.save)
    except UpdateError:
        log.warning("A session was not saved: it ended in another process")
    session.modified = before


def end_user_sessions(user: User) -> None:
    """Delete all sessions of a user.

    It decodes every session, because only its data names the user; call it rarely.
    """
    alive = Session.objects.filter(expire_date__gt=timezone.now()).iterator()
    key = str(user.pk)
    theirs = [each.pk for each in alive if each.get_decoded().get(SESSION_KEY) == key]
    for some in batched(theirs, 500):
        Session.objects.filter(pk__in=some).delete()


def end_message(ended: str) -> str:
    """Return why a session ended, for the sign-in page."""
    if ended == "idle":
        n = settings.SESSION_IDLE_MINUTES
        text = ngettext(
            "You were signed out after %(n)d minute without any action.",
            "You were signed out after %(n)d minutes without any action.",
            n,
        )
    elif ended == "age":
        n = settings.SESSION_HOURS
        text = ngettext(
            "You were signed out: a session ends %(n)d hour after it began.",
            "You were signed out: a session ends %(n)d hours after it began.",
            n,
        )
    else:
        return ""
    return text % {"n": n}


def prune_sessions() -> None:
    """Delete expired sessions; the worker calls this."""
    call_command("clearsessions", verbosity=0)
