"""A session ends when idle, at its maximum age, and with the account or password."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from pytest_django import Settings

from iotda_admin.accounts import sessions
from iotda_admin.audit.models import Event
from tests.cloud import Cloud
from tests.conftest import HTMX, make_user

LOGIN = {"username": "viewer", "password": "a-password-1"}
HERE = {**HTMX, "HX-Current-URL": "http://testserver/operations/7/"}


def age(client: Client, **minutes: float) -> None:
    """Move the times in the session into the past."""
    session = client.session
    for name, ago in minutes.items():
        session[name] = int(time.time() - ago * 60)
    session.save()


def test_an_idle_session_ends_and_says_why(viewer: Client) -> None:
    age(viewer, seen_at=30)
    to_login = viewer.get("/devices/?q=pump")
    assert (
        to_login["Location"] == "/accounts/login/?next=/devices/%3Fq%3Dpump&ended=idle"
    )
    assert (
        "You were signed out after 30 minutes without any action."
        in viewer.get(to_login["Location"]).text
    )
    assert "pump" in viewer.post(to_login["Location"], LOGIN)["Location"]


def test_a_session_ends_at_its_maximum_age_despite_actions(
    viewer: Client, settings: Settings
) -> None:
    settings.SESSION_HOURS = 1
    age(viewer, signed_in_at=60)
    to_login = viewer.get("/")["Location"]
    assert "a session ends 1 hour after it began" in viewer.get(to_login).text


def test_an_action_keeps_a_session_alive(viewer: Client) -> None:
    age(viewer, seen_at=29)
    assert viewer.get("/").status_code == 200
    assert time.time() - viewer.session[sessions.SEEN] < 60


@pytest.mark.parametrize("poll", ["/inventory/", "/operations/7/"])
def test_polling_does_not_keep_a_session_alive(operator: Client, poll: str) -> None:
    age(operator, seen_at=29)
    operator.get(poll, headers=HERE)
    assert time.time() - operator.session[sessions.SEEN] > 60


def test_a_poll_after_the_end_sends_the_browser_to_the_login_and_back(
    operator: Client,
) -> None:
    age(operator, seen_at=30)
    answer = operator.get("/operations/7/", headers=HERE)
    assert answer["HX-Redirect"] == "/accounts/login/?next=/operations/7/&ended=idle"


def test_a_form_sent_after_the_end_changes_nothing(
    operator: Client, inventory: Cloud
) -> None:
    age(operator, seen_at=30)
    page = f"/devices/{inventory.known_ids['online']}/freeze/"
    late = operator.post(
        page, {"reason": "x"}, headers={"Referer": f"http://testserver{page}"}
    )
    assert late["Location"] == f"/accounts/login/?next={page}&ended=idle&unsent=1"


def test_the_end_of_a_session_is_recorded(viewer: Client) -> None:
    age(viewer, seen_at=30)
    viewer.get("/")
    last = Event.objects.filter(kind="logout").last()
    assert (last.actor_name, last.summary) == (
        "viewer",
        "after a time without an action",
    )


def test_signing_in_changes_the_session_key(anonymous: Client) -> None:
    make_user("viewer")
    anonymous.get("/accounts/login/")
    session = anonymous.session
    session["theirs"] = 1
    session.save()
    before = session.session_key
    anonymous.cookies["iotda_admin_session"] = before
    anonymous.post("/accounts/login/", LOGIN)
    assert anonymous.session.session_key != before
    assert not Session.objects.filter(pk=before).exists()


@pytest.mark.parametrize("change", ["password", "deactivation"])
def test_other_sessions_end_with_the_password_and_the_account(
    viewer: Client, change: str
) -> None:
    user = User.objects.get(username="viewer")
    if change == "password":
        user.set_password("another-password-1")
    else:
        user.is_active = False
    user.save()
    assert viewer.get("/").status_code == 302


@pytest.mark.parametrize("how", ["save", "update"])
def test_only_a_reactivated_user_must_sign_in_again(
    viewer: Client, operator: Client, how: str
) -> None:
    user = User.objects.get(username="viewer")
    user.is_active = False
    user.save() if how == "save" else User.objects.filter(pk=user.pk).update(
        is_active=False
    )
    user.is_active = True
    user.save()
    assert viewer.get("/").status_code == 302
    assert operator.get("/").status_code == 200


def test_every_polled_url_is_listed() -> None:
    templates = (Path(__file__).parents[2] / "templates").rglob("*.html")
    asks = {
        path.name
        for path in templates
        if re.search(r'hx-trigger="[^"]*(load delay|every )', path.read_text())
    }
    assert asks == {
        "line.html",
        "operation.html",
        "platform.html",
    }  # otherwise add it to sessions.POLLED


@pytest.mark.parametrize(
    "headers",
    [{"Referer": "http://["}, {"HX-Request": "true", "HX-Current-URL": "http://["}],
)
def test_an_invalid_return_url_is_ignored(
    anonymous: Client, headers: dict[str, Any]
) -> None:
    answer = anonymous.post("/devices/selection.freeze/", headers=headers)
    where = answer.headers.get("Location") or answer.headers["HX-Redirect"]
    assert where == "/accounts/login/?next=/&unsent=1"
