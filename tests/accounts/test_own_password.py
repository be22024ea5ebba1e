"""AnyUser's own password, changed by themselves: as at the sign-in it cannot be guessed at."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from iotda_admin.audit.models import Event
from tests.conftest import signed_in

URL, NEW = "/accounts/password/", "Quite-new-9x"


def change(client, old="a-password-1", new=NEW):
    return client.post(
        URL, {"old_password": old, "new_password1": new, "new_password2": new}
    )


def stands(password):
    return User.objects.get(username="viewer").check_password(password)


def test_it_is_changed_and_told_and_other_sessions_end(db):
    here, there = signed_in("viewer"), Client()
    assert there.login(username="viewer", password="a-password-1")
    assert "Your password is changed." in here.get(change(here)["Location"]).text
    assert stands(NEW)
    assert there.get("/")["Location"].startswith("/accounts/login/")
    event = Event.objects.latest("id")
    assert (event.kind, event.actor_name, event.address) == (
        "account.changed",
        "viewer",
        "127.0.0.1",
    )
    assert event.detail["changes"] == {"password": ["kept secret", "changed"]}


def test_wrong_ones_are_counted_and_told_with_those_of_the_sign_in(viewer):
    answers = [change(viewer, old="wrong").status_code for _ in range(5)]
    locked = change(viewer)
    assert [*answers, locked.status_code] == [200] * 5 + [429]
    assert "Too many wrong passwords." in locked.text
    failed = Event.objects.filter(kind="login.failed")
    assert {(event.actor_name, event.address, event.outcome) for event in failed} == {
        ("viewer", "127.0.0.1", "denied")
    }
    assert (failed.count(), stands(NEW)) == (5, False)
    again = Client().post(
        "/accounts/login/", {"username": "viewer", "password": "a-password-1"}
    )
    assert again.status_code == 429


def test_the_right_one_forgets_the_wrong_ones(viewer):
    for _ in range(4):
        change(viewer, old="wrong")
    assert "This password is too short." in change(viewer, new="short").text
    assert [change(viewer, old="wrong").status_code for _ in range(4)] == [200] * 4


def test_if_the_trail_cannot_be_written_it_stays(viewer, monkeypatch):
    viewer.raise_request_exception = False
    monkeypatch.setattr("iotda_admin.audit.chain.insert_rows", refuse)
    assert change(viewer).status_code >= 500
    assert stands("a-password-1")
    assert viewer.get(URL).status_code == 200


def refuse(*args, **kwargs):
    raise RuntimeError("the disk is full")


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_admins_own_page_leads_here(db, method):
    boss = Client()
    boss.force_login(User.objects.create_superuser("boss"))
    assert getattr(boss, method)("/admin/password_change/")["Location"] == URL
