"""How long a session lasts: so long without an action, and so long at all."""

import logging
import time
from collections.abc import Callable
from itertools import batched
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.translation import ngettext_lazy

log = logging.getLogger(__name__)

SIGNED_IN, SEEN = "signed_in_at", "seen_at"
# An action is written down at most this often: each time is a write to the database.
GRAIN_SECONDS = 30
# What a page asks for by itself, again and again: it keeps nobody signed in.
POLLED = {"inventory:freshness", "operations:operation"}

# Why a session ended, as the sign-in page says it.
ENDED = {
    "idle": ngettext_lazy(
        "You were signed out after %(n)d minute without any action.",
        "You were signed out after %(n)d minutes without any action.",
        "n",
    ),
    "age": ngettext_lazy(
        "You were signed out: a session ends %(n)d hour after it began.",
        "You were signed out: a session ends %(n)d hours after it began.",
        "n",
    ),
}


class SessionLimits:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        if not request.user.is_authenticated:
            return
        now = int(time.time())
        ended = ended_by(request.session, now)
        if ended:
            request.session_ended = ended  # type: ignore[attr-defined]
            logout(request)
        elif not is_poll(request) and now - request.session[SEEN] >= GRAIN_SECONDS:
            see(request.session, now)


def begin(session: SessionBase) -> None:
    session[SIGNED_IN] = session[SEEN] = int(time.time())


def ended_by(session: SessionBase, now: int) -> str:
    """The limit that the session has come to, if any. One without times is from before they were kept."""
    if now - session.get(SIGNED_IN, 0) >= settings.SESSION_HOURS * 3600:
        return "age"
    if now - session.get(SEEN, 0) >= settings.SESSION_IDLE_MINUTES * 60:
        return "idle"
    return ""


def is_poll(request: HttpRequest) -> bool:
    match = request.resolver_match
    return bool(request.htmx) and match is not None and match.view_name in POLLED  # type: ignore[attr-defined]


def see(session: SessionBase, now: int) -> None:
    """At once and by itself: that this cannot be written must not keep anybody from reading a page."""
    before = session.modified
    session[SEEN] = now
    try:
        session.save()
    except UpdateError:
        log.warning(
            "A session could not be written: it was ended elsewhere, or the database is busy"
        )
    session.modified = before


def end_all_of(user: User) -> None:
    """Reads all sessions, as only what a session remembers names its user: for what is rarely done."""
    alive = Session.objects.filter(expire_date__gt=timezone.now()).iterator()
    theirs = [
        each.pk for each in alive if each.get_decoded().get(SESSION_KEY) == str(user.pk)
    ]
    for some in batched(theirs, 500):
        Session.objects.filter(pk__in=some).delete()


def reason(ended: str) -> str:
    numbers = {"idle": settings.SESSION_IDLE_MINUTES, "age": settings.SESSION_HOURS}
    return str(ENDED[ended] % {"n": numbers[ended]}) if ended in ENDED else ""


def prune() -> None:
    """Run by the worker now and then."""
    call_command("clearsessions", verbosity=0)
