"""All web servers of a site need the same SECRET_KEY."""

import sys
from importlib import import_module

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.test import Client
from pytest_django import Settings

from iotda_admin.health.models import SecretKeyDigest

FIRST, SECOND = "the-first-key-" * 4, "the-second-key-" * 4


def start_web_server() -> None:
    sys.modules.pop("iotda_admin.wsgi", None)
    import_module("iotda_admin.wsgi")


@pytest.fixture(autouse=True)
def first_machine(
    db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start a web server with the first key."""
    # A web server limits its waits for the database; other tests do not.
    options = connection.settings_dict["OPTIONS"]
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {**options})
    SecretKeyDigest.objects.all().delete()
    settings.SECRET_KEY = FIRST
    start_web_server()


def test_the_same_key_starts_on_another_machine() -> None:
    start_web_server()
    assert FIRST not in SecretKeyDigest.objects.get().digest


def test_another_key_is_refused_with_a_sentence(settings: Settings) -> None:
    settings.SECRET_KEY = SECOND
    with pytest.raises(ImproperlyConfigured) as refused:
        start_web_server()
    assert str(refused.value).startswith("SECRET_KEY differs from the one")
    assert SECOND not in str(refused.value)


def test_another_key_fails_readiness(anonymous: Client, settings: Settings) -> None:
    assert anonymous.get("/readyz").json()["checks"]["secret_key"] == "ok"
    settings.SECRET_KEY = SECOND
    answer = anonymous.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["secret_key"] == "failed"


def test_a_key_that_names_its_predecessor_replaces_it(
    operator: Client, settings: Settings
) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = SECOND, [FIRST]
    start_web_server()
    # The session of the former key stays valid.
    assert operator.get("/devices/").status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    start_web_server()
    settings.SECRET_KEY = FIRST
    with pytest.raises(ImproperlyConfigured):
        start_web_server()


def test_a_command_accepts_a_new_key(settings: Settings) -> None:
    settings.SECRET_KEY = SECOND
    call_command("accept_secret_key")
    start_web_server()
