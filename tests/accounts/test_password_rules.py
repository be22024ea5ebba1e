"""Weak passwords are refused wherever a password is set."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from tests.conftest import make_user

OLD, GOOD = "a-password-1", "Quite-new-9x"
WEAK = {
    "short": "x8-kQ2p",
    "common": "password1",
    "digits": "8239104756",
    "full-width digits": "８２３９１０４７５６",
    "digits and blanks": "8239 1047 56",
    "blanks": " " * 8,
    "blanks and a letter": "       x       ",
    "zero-width characters": "x\u200b" * 7,
    "fillers": "\u3164" * 9,
    "like the name": "viewer-1",
}

NO_SPACES = {
    f"grants-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")
}


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def set_own(password: str) -> bool:
    client = Client()
    client.force_login(User.objects.get(username="viewer"))
    form = {"old_password": OLD, "new_password1": password, "new_password2": password}
    return client.post("/accounts/password/", form).status_code == 302


def set_in_the_admin(boss: Client, password: str) -> bool:
    user = User.objects.get(username="viewer")
    form = {"password1": password, "password2": password, "usable_password": "true"}
    return boss.post(f"/admin/auth/user/{user.pk}/password/", form).status_code == 302


def add_in_the_admin(boss: Client, password: str) -> bool:
    form = {"password1": password, "password2": password, "usable_password": "true"}
    form |= {"username": "viewer2", **NO_SPACES}
    return boss.post("/admin/auth/user/add/", form).status_code == 302


def create_superuser(monkeypatch: pytest.MonkeyPatch, password: str) -> str:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
    try:
        call_command("createsuperuser", "--no-input", username="viewer3", email="")
    except CommandError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("password", WEAK.values(), ids=WEAK)
def test_a_weak_password_is_refused_everywhere(
    boss: Client, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    make_user("viewer")
    assert not set_own(password)
    assert not set_in_the_admin(boss, password)
    assert not add_in_the_admin(boss, password)
    assert "DJANGO_SUPERUSER_PASSWORD: " in create_superuser(monkeypatch, password)
    monkeypatch.setenv("DEMO_PASSWORD", password)
    with pytest.raises(CommandError, match="DEMO_PASSWORD: "):
        call_command("demo_users")
    assert User.objects.get(username="viewer").check_password(OLD)
    assert set(User.objects.values_list("username", flat=True)) == {"boss", "viewer"}


def test_a_good_password_is_accepted_everywhere(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user("viewer")
    assert add_in_the_admin(boss, GOOD)
    assert set_in_the_admin(boss, "correct horse 12")
    assert create_superuser(monkeypatch, GOOD) == ""
    assert User.objects.get(username="viewer3").check_password(GOOD)
    monkeypatch.setenv("DEMO_PASSWORD", GOOD)
    # Again: the demo starts with the same password each time.
    call_command("demo_users")
    call_command("demo_users")


def test_the_old_password_is_refused(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user("viewer")
    hashed = user.password
    assert not set_own(OLD)
    assert not set_in_the_admin(boss, OLD)
    monkeypatch.setattr("getpass.getpass", lambda prompt="": OLD)
    said = StringIO()
    with pytest.raises(CommandError, match="Aborting password change"):
        call_command("changepassword", "viewer", stdout=said, stderr=said)
    assert "This is the old password." in said.getvalue()
    user.refresh_from_db()
    assert user.password == hashed


def test_all_of_the_validators_of_django_are_used(settings: Settings) -> None:
    names = {
        each["NAME"].rpartition(".")[2] for each in settings.AUTH_PASSWORD_VALIDATORS
    }
    assert names > {
        "UserAttributeSimilarityValidator", "MinimumLengthValidator",
        "CommonPasswordValidator", "NumericPasswordValidator",
    }  # fmt: skip
