"""A user changes their own password; wrong passwords are throttled."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from iotda_admin.audit.models import Event
from tests.conftest import signed_in

URL, NEW = "/accounts/password/", "Quite-new-9x"


def change(client: Any, old: str = "a-password-1", new: Any = NEW) -> Any:
    return client.post(
        URL, {"old_password": old, "new_password1": new, "new_password2": new}
    )


def has_password(password: Any) -> Any:
    return User.objects.get(username="viewer").check_password(password)


def test_a_new_password_is_recorded_and_ends_other_sessions(db: None) -> None:
    here, there = signed_in("viewer"), Client()
    assert there.login(username="viewer", password="a-password-1")
    assert "Your password was changed." in here.get(change(here)["Location"]).text
    assert has_password(NEW)
    assert there.get("/")["Location"].startswith("/accounts/login/")
    event = Event.objects.latest("id")
    assert (event.kind, event.actor_name, event.address) == (
        "account.changed",
        "viewer",
        "127.0.0.1",
    )
    assert event.detail["changes"] == {"password": ["kept secret", "changed"]}


def test_wrong_old_passwords_count_as_failed_logins(viewer: Client) -> None:
    answers = [change(viewer, old="wrong").status_code for _ in range(5)]
    locked = change(viewer)
    assert [*answers, locked.status_code] == [200] * 5 + [429]
    assert "Too many wrong passwords." in locked.text
    failed = Event.objects.filter(kind="login.failed")
    assert {(event.actor_name, event.address, event.outcome) for event in failed} == {
        ("viewer", "127.0.0.1", "denied")
    }
    assert (failed.count(), has_password(NEW)) == (5, False)
    again = Client().post(
        "/accounts/login/", {"username": "viewer", "password": "a-password-1"}
    )
    assert again.status_code == 429


def test_the_correct_password_resets_the_count(viewer: Client) -> None:
    for _ in range(4):
        change(viewer, old="wrong")
    assert "This password is too short." in change(viewer, new="short").text
    assert [change(viewer, old="wrong").status_code for _ in range(4)] == [200] * 4


def test_the_password_stays_if_the_event_cannot_be_written(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.raise_request_exception = False
    monkeypatch.setattr("iotda_admin.audit.chain.insert_event_rows", refuse)
    assert change(viewer).status_code >= 500
    assert has_password("a-password-1")
    assert viewer.get(URL).status_code == 200


def refuse(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("the disk is full")


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_password_page_of_the_admin_redirects_here(db: None, method: str) -> None:
    boss = Client()
    boss.force_login(User.objects.create_superuser("boss"))
    assert getattr(boss, method)("/admin/password_change/")["Location"] == URL
