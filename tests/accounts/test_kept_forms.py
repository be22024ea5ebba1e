"""A form that arrives without a valid session is kept for its user, and never sent."""

import logging
import re
import zlib
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from iotda_admin.access import kept_forms
from iotda_admin.access.actor import Actor
from iotda_admin.access.models import KeptForm
from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Operation
from iotda_admin.operations.services import dispatch
from iotda_admin.rate.connection import client
from tests.cloud import Cloud
from tests.conftest import HTMX, make_user
from tests.operation_helpers import OTHER_KEY, create

WHY = "Unpaid since March"
KEY = "0123456789abcdef0123456789abcdef"
PASSWORD = "a-password-1"
SENT = "Nothing was sent"


def owner_of(page: str) -> str:
    found = re.search(r'name="shown_to" value="([^"]+)"', page)
    assert found
    return found[1]


def filled(browser: Client, path: str, **fields: Any) -> dict[str, Any]:
    """Return the fields of a form that this client was shown."""
    owner = owner_of(browser.get(path).text)
    about = {"reason": WHY, "ticket": "INC-4711", "key": KEY, "shown_to": owner}
    return about | fields


def send_without_session(client: Client, path: str, form: dict[str, Any]) -> str:
    """Send a form after the session ended; return the URL of the sign-in page."""
    Session.objects.all().delete()
    answer = client.post(path, form)
    assert answer.status_code == 302
    return answer["Location"]


def sign_in(client: Client, at: str, name: str = "admin") -> str:
    """Sign in on the page of the redirect; return the URL that it leads to."""
    page = client.get(at).text
    assert SENT in page
    found = re.search(r'name="next" value="([^"]*)"', page)
    assert found
    login = {"username": name, "password": PASSWORD, "next": found[1]}
    return client.post("/accounts/login/", login)["Location"]


@pytest.fixture
def device(inventory: Cloud) -> str:
    return str(inventory.known_ids["online"])


def test_a_freeze_is_filled_in_and_can_be_sent(
    admin: Client, inventory: Cloud, device: str
) -> None:
    path = f"/devices/{device}/freeze/"
    form = filled(admin, path)
    at = send_without_session(admin, path, form)
    page = admin.get(sign_in(admin, at))
    assert page.status_code == 200
    assert "Nothing was sent: your session had ended." in page.text
    assert f'value="{WHY}"' in page.text
    assert 'value="INC-4711"' in page.text
    assert f'name="key" value="{KEY}"' in page.text
    assert not Operation.objects.exists()
    assert inventory.status(device) == "ONLINE"
    assert admin.post(path, form).status_code == 302
    assert inventory.status(device) == "FROZEN"


@pytest.mark.parametrize("uploaded", [False, True])
def test_a_hundred_thousand_ids_are_kept(
    admin: Client, inventory: Cloud, *, uploaded: bool
) -> None:
    ids = [f"device-{n:058}" for n in range(100_000)]
    path, text = f"/policies/{inventory.known_ids['policy']}/bind/", "\n".join(ids)
    form = filled(admin, path, act="bind", target_type="device")
    form["policy"] = inventory.known_ids["policy"]
    if uploaded:
        form["upload"] = SimpleUploadedFile("ids.txt", text.encode())
    else:
        form["pasted"] = text
    page = admin.get(sign_in(admin, send_without_session(admin, path, form)))
    assert page.status_code == 200
    assert SENT in page.text
    assert "100,000 targets" in page.text
    assert ids[-1] in page.text
    assert not Operation.objects.exists()


def test_a_bulk_confirmation_and_a_selection_are_kept(
    admin: Client, inventory: Cloud
) -> None:
    one, other = inventory.free(2)
    rows = filled(admin, "/devices/", target=[one, other])
    selected = {name: rows[name] for name in ("target", "shown_to")}
    for form in (rows, selected, selected | {"csv": "change"}):
        at = send_without_session(admin, "/devices/selection.freeze/", form)
        page = admin.get(sign_in(admin, at))
        assert SENT in page.text
        assert "Freeze 2 devices" in page.text
        assert (WHY in page.text) == ("reason" in form)
    assert not Operation.objects.exists()


def test_a_retry_an_undo_an_unbind_and_a_note_are_kept(
    admin: Client, inventory: Cloud
) -> None:
    actor = Actor(User.objects.get(), "admin", "test", "127.0.0.1")
    about = {"policy_id": inventory.known_ids["other_policy"]}
    ids = [*inventory.free(1), "nobody-1"]
    failed = create("policy.bind", ids, actor, OTHER_KEY, **about)
    dispatch(failed, client())
    target = failed.targets.get(target_id="nobody-1")
    policy, bound = failed.policy_id, inventory.free(1)[0]
    chosen = {"target": target.pk}
    for path, fields in (
        (f"{failed.get_absolute_url()}retry/", {"seen": "x"}),
        (f"{failed.get_absolute_url()}undo/", {"seen": "x"}),
        (
            f"/policies/{policy}/unbind/?target_type=device&target={bound}",
            {"target_type": "device", "target": bound},
        ),
        (f"/failures/note/?target={target.pk}", chosen | {"note": WHY, "save": 1}),
        (f"/failures/solve/?target={target.pk}", chosen | {"save": 1}),
        (f"/failures/retry/?target={target.pk}", chosen),
    ):
        form = filled(admin, path, **fields)
        at = send_without_session(admin, path.partition("?")[0], form)
        page = admin.get(sign_in(admin, at))
        assert page.status_code == 200, path
        assert SENT in page.text
        assert f'value="{WHY}"' in page.text, path
    assert Operation.objects.count() == 1
    assert not Event.objects.filter(kind__startswith="failure").exists()


def test_the_form_is_shown_to_its_user_alone(
    admin: Client, inventory: Cloud, device: str
) -> None:
    make_user("policy admin")
    path = f"/devices/{device}/freeze/"
    at = send_without_session(admin, path, filled(admin, path))
    url = sign_in(admin, at, "policyadmin")
    page = admin.get(url).text
    assert "the form is no longer kept" in page
    assert WHY not in page


def test_a_form_opens_only_at_its_own_address(
    admin: Client, inventory: Cloud, device: str
) -> None:
    path = f"/devices/{device}/freeze/"
    url = sign_in(admin, send_without_session(admin, path, filled(admin, path)))
    elsewhere = url.replace("/freeze/", "/unfreeze/")
    assert WHY not in admin.get(elsewhere).text
    assert WHY in admin.get(url).text


@pytest.mark.parametrize("shown_to", ["", "1", "1:2:3", "\0", "x" * 10_000])
def test_a_form_without_a_valid_owner_is_not_kept(
    admin: Client, inventory: Cloud, device: str, shown_to: str
) -> None:
    path = f"/devices/{device}/freeze/"
    at = send_without_session(admin, path, filled(admin, path, shown_to=shown_to))
    assert not KeptForm.objects.exists()
    assert SENT in admin.get(at).text


def test_a_kept_form_expires_and_is_pruned(
    admin: Client, inventory: Cloud, device: str
) -> None:
    path = f"/devices/{device}/freeze/"
    url = sign_in(admin, send_without_session(admin, path, filled(admin, path)))
    KeptForm.objects.update(created_at=timezone.now() - timedelta(minutes=61))
    assert WHY not in admin.get(url).text
    kept_forms.prune_kept_forms()
    assert not KeptForm.objects.exists()


def test_a_form_of_a_week_ago_is_not_kept(
    admin: Client, inventory: Cloud, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/devices/{device}/freeze/"
    form = filled(admin, path)
    monkeypatch.setattr(kept_forms, "OWNER_MAX_AGE", timedelta(0))
    send_without_session(admin, path, form)
    assert not KeptForm.objects.exists()


def test_the_kept_forms_are_bounded(
    admin: Client, inventory: Cloud, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/devices/{device}/freeze/"
    form = filled(admin, path)
    for _ in range(5):
        at = send_without_session(admin, path, form)
    assert KeptForm.objects.count() == kept_forms.FORMS_PER_USER
    assert WHY in admin.get(sign_in(admin, at)).text
    KeptForm.objects.all().delete()
    monkeypatch.setattr(kept_forms, "BYTES_LIMIT", 10)
    send_without_session(admin, path, form)
    assert not KeptForm.objects.exists()


def test_nothing_of_the_form_is_in_the_log_or_readable_in_the_database(
    admin: Client, inventory: Cloud, device: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/devices/{device}/freeze/"
    form = filled(admin, path)
    with caplog.at_level(logging.DEBUG):
        url = sign_in(admin, send_without_session(admin, path, form))
        admin.get(url)
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "Unpaid" not in said
    assert form["shown_to"] not in said
    stored = zlib.decompress(KeptForm.objects.get().content).decode()
    assert "shown_to" not in stored


def test_a_password_is_never_kept(admin: Client, inventory: Cloud, device: str) -> None:
    owner = filled(admin, f"/devices/{device}/freeze/")["shown_to"]
    form = {"old_password": PASSWORD, "new_password1": "x", "shown_to": owner}
    send_without_session(admin, "/accounts/password/", form)
    assert not KeptForm.objects.exists()


def test_a_swap_leads_to_the_filled_form(
    admin: Client, inventory: Cloud, device: str
) -> None:
    path = f"/devices/{device}/freeze/"
    form = filled(admin, path)
    Session.objects.all().delete()
    answer = admin.post(path, form, headers=HTMX)
    assert WHY in admin.get(sign_in(admin, answer["HX-Redirect"])).text


def test_signing_out_without_a_session_says_nothing_of_forms(admin: Client) -> None:
    Session.objects.all().delete()
    at = admin.post("/accounts/logout/")["Location"]
    assert SENT not in admin.get(at).text


@pytest.fixture
def strict(inventory: Cloud) -> Client:
    """Return a client of an admin that needs CSRF tokens."""
    browser = Client(enforce_csrf_checks=True)
    make_user("admin")
    token = csrf_token(browser.get("/accounts/login/").text)
    login = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token}
    assert browser.post("/accounts/login/", login).status_code == 302
    return browser


def csrf_token(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found
    return found[1]


def sign_in_again(client: Client, name: str = "admin") -> None:
    token = client.get("/").text
    client.post("/accounts/logout/", {"csrfmiddlewaretoken": csrf_token(token)})
    token = csrf_token(client.get("/accounts/login/").text)
    login = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": token}
    assert client.post("/accounts/login/", login).status_code == 302


def test_a_form_older_than_the_sign_in_is_filled_in_and_can_be_sent(
    strict: Client, inventory: Cloud, device: str
) -> None:
    path = f"/devices/{device}/freeze/"
    old = csrf_token(strict.get(path).text)
    form = filled(strict, path, csrfmiddlewaretoken=old)
    sign_in_again(strict)
    page = strict.get(strict.post(path, form)["Location"]).text
    assert "Nothing was sent: you signed in again" in page
    assert f'value="{WHY}"' in page
    assert inventory.status(device) == "ONLINE"
    again = strict.post(path, form | {"csrfmiddlewaretoken": csrf_token(page)})
    assert again.status_code == 302
    assert inventory.status(device) == "FROZEN"


def test_a_form_of_another_user_is_not_kept(
    strict: Client, inventory: Cloud, device: str
) -> None:
    make_user("policy admin")
    path = f"/devices/{device}/freeze/"
    form = filled(strict, path, csrfmiddlewaretoken=csrf_token(strict.get(path).text))
    sign_in_again(strict, "policyadmin")
    answer = strict.post(path, form)
    assert answer.status_code == 403
    assert "This form is too old" in answer.text
    assert not KeptForm.objects.exists()


def test_a_second_sign_in_form_leads_on(strict: Client) -> None:
    login = {"username": "admin", "password": PASSWORD, "next": "/devices/"}
    answer = strict.post("/accounts/login/", login, follow=True)
    assert answer.request["PATH_INFO"] == "/devices/"


def test_a_request_from_another_site_keeps_nothing(
    strict: Client, inventory: Cloud, device: str
) -> None:
    answer = strict.post(f"/devices/{device}/freeze/", {"reason": WHY, "key": KEY})
    assert answer.status_code == 403
    assert not KeptForm.objects.exists()


def test_the_worker_prunes_kept_forms(settings: Settings) -> None:
    assert "iotda_admin.access.kept_forms.prune_kept_forms" in settings.WORKER_JOBS
