"""Events of web requests name the browser and the session."""

import json
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from iotda_admin.audit.models import Event
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import change_form, run_workers

AGENT = "Mozilla/5.0 (X11; Linux x86_64) <b>Browser</b>/1.0"


def sign_in(**headers: str) -> Client:
    client = Client(headers=headers)
    form = {"username": "operator", "password": "a-password-1"}
    assert client.post("/accounts/login/", form).status_code == 302
    return client


def details(**about: Any) -> list[dict[str, Any]]:
    return [event.detail for event in Event.objects.filter(**about).order_by("pk")]


@pytest.fixture
def two(inventory: Cloud) -> tuple[Client, Client]:
    """Return one user in two browsers."""
    make_user("operator")
    return sign_in(user_agent=AGENT), sign_in(user_agent="Other\u202e\x1b/2")


@pytest.mark.django_db(transaction=True)
def test_all_events_of_a_session_have_its_browser_and_mark(
    two: tuple[Client, Client], inventory: Cloud
) -> None:
    for client, device, key in zip(two, inventory.free(2), "12", strict=True):
        client.post(f"/devices/{device}/freeze/", change_form(key=key * 32))
    run_workers()
    signed_in, others = details(kind="login")
    assert signed_in["user_agent"] == AGENT
    assert others["user_agent"] == "Other /2"
    asked, _others = details(kind="operation.asked")
    assert (asked["user_agent"], asked["session"]) == (AGENT, signed_in["session"])
    assert signed_in["session"] != others["session"]


@pytest.mark.django_db(transaction=True)
def test_the_key_of_the_session_is_not_in_the_trail(
    two: tuple[Client, Client],
) -> None:
    trail = json.dumps(details())
    for client in two:
        assert client.cookies[settings.SESSION_COOKIE_NAME].value not in trail


def test_the_page_of_an_event_shows_the_browser_as_text(
    two: tuple[Client, Client], auditor: Client
) -> None:
    event = Event.objects.filter(kind="login").earliest("pk")
    text = auditor.get(f"/audit/{event.pk}/").text
    assert "&lt;b&gt;Browser&lt;/b&gt;/1.0" in text
    assert event.detail["session"] in text


def test_events_of_workers_have_neither(inventory: Cloud) -> None:
    assert not any("session" in detail for detail in details(source="worker"))
