"""Many sign-ins at once leave memory and threads for everything else."""

from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event, Thread

import pytest
from argon2 import extract_parameters
from django.conf import settings
from django.contrib.auth.hashers import (
    Argon2PasswordHasher,
    check_password,
    make_password,
)
from django.contrib.auth.models import User
from django.test import Client, override_settings
from pytest_django import Settings

from iotda_admin.accounts import password_checks
from iotda_admin.accounts.models import LoginTries
from iotda_admin.accounts.password_checks import place_for_check
from tests.conftest import make_user

LOGIN = {"username": "viewer", "password": "a-password-1"}
HASHER = "iotda_admin.accounts.password_checks.LimitedArgon2Hasher"


@pytest.fixture
def places_taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All places are taken by other sign-ins."""
    monkeypatch.setattr(password_checks, "WAIT_SECONDS", 0.1)
    with ExitStack() as stack:
        for _ in range(settings.PASSWORD_CHECKS_AT_ONCE):
            stack.enter_context(place_for_check())
        yield


def test_a_sign_in_that_finds_no_place_is_asked_to_try_again(
    anonymous: Client, places_taken: None
) -> None:
    make_user("viewer")
    answer = anonymous.post("/accounts/login/", LOGIN)
    assert (answer.status_code, answer["Retry-After"]) == (429, "5")
    assert "Try again in a few seconds." in answer.text
    assert "do not match" not in answer.text
    # It was no attempt.
    assert not LoginTries.objects.exists()


def test_a_change_of_the_own_password_waits_for_a_place_as_well(
    viewer: Client, places_taken: None
) -> None:
    form = {
        "old_password": "a-password-1",
        "new_password1": "Quite-new-9x",
        "new_password2": "Quite-new-9x",
    }
    answer = viewer.post("/accounts/password/", form)
    assert answer.status_code == 429
    assert "Try again in a few seconds." in answer.text
    assert User.objects.get(username="viewer").check_password("a-password-1")


def test_a_place_is_free_again_after_a_sign_in(anonymous: Client) -> None:
    make_user("viewer")
    for _ in range(2 * settings.PASSWORD_CHECKS_AT_ONCE):
        wrong = LOGIN | {"password": "wrong"}
        assert anonymous.post("/accounts/login/", wrong).status_code == 200
    assert anonymous.post("/accounts/login/", LOGIN).status_code == 302


def test_only_some_sign_ins_wait_for_a_place(
    anonymous: Client, places_taken: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(password_checks, "WAIT_SECONDS", 60)
    with ExitStack() as stack:
        for _ in range(settings.PASSWORD_CHECKS_WAITING):
            password_checks.queue.acquire()
            stack.callback(password_checks.queue.release)
        assert anonymous.post("/accounts/login/", LOGIN).status_code == 429


def test_a_password_is_hashed_with_a_sensible_amount_of_memory(
    settings: Settings,
) -> None:
    settings.PASSWORD_HASHERS = [HASHER]
    encoded = make_password("a-password-1")
    found = extract_parameters(encoded.removeprefix("argon2"))
    assert (found.memory_cost, found.time_cost, found.parallelism) == (19_456, 2, 1)
    assert check_password("a-password-1", encoded)
    assert not check_password("a-password-2", encoded)


@override_settings(PASSWORD_HASHERS=[HASHER])
def test_an_older_hash_is_valid_and_hashed_again_at_the_next_sign_in(
    anonymous: Client,
) -> None:
    user = make_user("viewer")
    old = Argon2PasswordHasher().encode("a-password-1", "salt-of-the-old-hash-22")
    User.objects.filter(pk=user.pk).update(password=old)
    assert anonymous.post("/accounts/login/", LOGIN).status_code == 302
    user.refresh_from_db()
    assert "m=19456," in user.password


def test_hashes_run_one_after_the_other(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = [HASHER]
    done: list[str] = []
    thread = Thread(target=lambda: done.append(make_password("a")))
    free = Event()
    for _ in range(settings.PASSWORD_HASHES_AT_ONCE):
        password_checks.hashes.submit(free.wait, 10)
    thread.start()
    thread.join(0.5)
    assert not done
    free.set()
    thread.join(10)
    assert done
