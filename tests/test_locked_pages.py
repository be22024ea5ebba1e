"""Pages while another process is writing to the database.

It holds SQLite's one write lock; on PostgreSQL, a lock of every table that excludes
other writers. It ends only after the answer, so a page that waited for it would fail.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from pytest_django import Settings

from devices.models import Device
from iotda_admin.access.actor import Actor
from iotda_admin.accounts import sessions
from iotda_admin.audit.models import Event
from iotda_admin.core.database import limit_waits
from iotda_admin.iotda import Client as IotdaClient
from iotda_admin.operations.models import Operation
from iotda_admin.rate import own_connection, page_reads
from iotda_admin.rate.hook import PageRateLimiter
from policies.models import Policy
from tests.cloud import Cloud
from tests.conftest import signed_in
from tests.failures.conftest import full, me, record_operation, start_operation
from tests.operation_helpers import (
    OTHER_KEY,
    change_form,
    outcome_counts,
    reconcile_now,
    write_requests,
)
from tests.operations.test_followups import form
from tests.own_database import other_writer
from tests.policies.replacement.conftest import choices, page_of
from tests.samples import Known
from tests.test_changes import CHANGES, known
from tests.test_matrix import (
    ADMIN_ROWS,
    at_one,
    browser_of,
    expected,
    mixed,
    things,
    urls,
    user_or_anonymous,
)

__all__ = [
    "at_one",
    "full",
    "known",
    "me",
    "record_operation",
    "start_operation",
    "things",
]

pytestmark = pytest.mark.django_db(transaction=True)

WRITES = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE")
LONGEST_MS = 500
BUSY = "another process is writing to it. Nothing was changed or sent."


def waits_briefly(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """Check that a statement that needs the lock does not wait long for it."""
    if sql.startswith(WRITES) or "FOR UPDATE" in sql:
        session = context["connection"].connection
        [milliseconds] = session.execute(
            "PRAGMA busy_timeout"
            if connection.vendor == "sqlite"
            else "SELECT setting::int FROM pg_settings WHERE name = 'lock_timeout'"
        ).fetchone()
        assert 0 < milliseconds <= LONGEST_MS, sql
    return execute(sql, params, many, context)


def get(client: Client, url: str) -> Any:
    """Get a page, which may not wait long for a lock."""
    with connection.execute_wrapper(waits_briefly):
        return client.get(url)


def test_a_denial_that_cannot_be_recorded_is_a_503(viewer: Client) -> None:
    with other_writer():
        page = get(viewer, "/audit/")
    assert page.status_code == 503
    assert BUSY in page.text
    assert int(page.headers["Retry-After"]) > 0
    assert not Event.objects.filter(kind="denied").exists()
    assert get(viewer, "/audit/").status_code == 403
    assert Event.objects.filter(kind="denied").count() == 1


def test_an_object_of_another_space_is_not_found_only_once_that_is_recorded(
    inventory: Cloud,
) -> None:
    here, there, *_more = inventory.known_ids["free_by_space"]
    user = user_or_anonymous("viewer", here)
    [device, *_others] = inventory.known_ids["free_by_space"][there]
    client = Client()
    client.force_login(user)
    with other_writer():
        assert get(client, f"/devices/{device}/").status_code == 503
    assert get(client, f"/devices/{device}/").status_code == 404


def test_a_preview_of_what_is_denied_is_recorded_before_it_is_answered(
    things: dict[str, Any],
) -> None:
    name, user = "policies:unbind", user_or_anonymous("policy admin", things["home"])
    (_get, url, look), *_ = mixed(name, urls(things)[name], things)
    client, page = browser_of(user), f"{url}?{urlencode(look, doseq=True)}"
    with other_writer():
        assert is_busy(get(client, page))
    assert get(client, page).status_code == 403


@pytest.mark.parametrize("url", ["/audit/export.csv", "/audit/export.jsonl"])
def test_a_download_begins_only_once_it_is_recorded(auditor: Client, url: str) -> None:
    with other_writer():
        page = get(auditor, url)
    assert page.status_code == 503
    assert BUSY in page.text
    assert get(auditor, url).status_code == 200


def save_is_due(client: Client) -> None:
    """Let the next request save the time of the last action."""
    session = client.session
    session[sessions.SEEN] = int(time.time()) - 60
    session.save()


def test_no_page_waits(things: dict[str, Any]) -> None:
    user = user_or_anonymous("admin", things["home"])
    client, pages = browser_of(user), urls(things)
    save_is_due(client)
    with other_writer():
        answered = {name: get(client, url).status_code for name, url in pages.items()}
    # Denials and downloads are recorded before they are answered.
    downloads = {
        "devices:devices_csv",
        "policies:policies_csv",
        "failures:failures_csv",
        "audit:export",
        "audit:export_lines",
        "operations:failures",
        "operations:operations_csv",
    }
    statuses = {name: expected("admin", name)[0] for name in pages}
    assert answered == {
        name: 503 if name in downloads or status in (403, 404) else status
        for name, status in statuses.items()
        if name != "metrics"
    } | {"metrics": 404}
    age = time.time() - client.session[sessions.SEEN]
    assert age >= 60


def test_no_page_of_the_admin_waits(at_one: dict[str, str]) -> None:
    user = user_or_anonymous("superuser")
    user.is_staff = True
    user.save()
    client = browser_of(user)
    with other_writer():
        answered = {
            path: get(client, url).status_code
            for path, url in at_one.items()
            if path != "logout/"
        }
    assert answered == {
        path: 503 if ADMIN_ROWS[path][1] == 403 else ADMIN_ROWS[path][1]
        for path in answered
    }


def test_what_was_read_is_shown_and_stored_at_the_next_visit(
    operator: Client, inventory: Cloud
) -> None:
    device, policy = inventory.known_ids["online"], inventory.known_ids["policy"]
    Device.objects.filter(pk=device).update(name="an old name")
    Policy.objects.filter(pk=policy).update(name="an old name")
    pages = [f"/devices/{device}/", f"/policies/{policy}/"]
    with other_writer():
        assert ["an old name" in get(operator, url).text for url in pages] == [
            False,
            False,
        ]
    for row in (Device.objects.get(pk=device), Policy.objects.get(pk=policy)):
        assert row.name == "an old name"
    for url in pages:
        operator.get(url)
    for row in (Device.objects.get(pk=device), Policy.objects.get(pk=policy)):
        assert row.name != "an old name"


def test_a_message_is_shown_once_more_if_that_cannot_be_saved(operator: Client) -> None:
    operator.post("/failures/take/")
    shown = "Select at least one failure"
    with other_writer():
        assert shown in get(operator, "/failures/").text
    assert shown in operator.get("/failures/").text
    assert shown not in operator.get("/failures/").text


def test_a_session_that_is_over_ends_though_that_cannot_be_recorded_yet(
    viewer: Client,
) -> None:
    session = viewer.session
    session[sessions.SEEN] = 0
    session.save()
    with other_writer():
        to_login = get(viewer, "/devices/")
        assert to_login["Location"] == "/accounts/login/?next=/devices/&ended=idle"
        assert get(viewer, to_login["Location"]).status_code == 200
    assert not Event.objects.filter(kind="logout").exists()
    assert get(viewer, "/devices/").status_code == 302
    assert Event.objects.get(kind="logout").actor_name == "viewer"
    assert not Session.objects.exists()


def test_a_page_waits_only_briefly_for_the_shared_rate(
    operator: Client,
    inventory: Cloud,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.IOTDA_RATE = 100
    monkeypatch.setattr(page_reads, "page_limiter", PageRateLimiter())
    execute, waits = own_connection.execute, []

    def timed(sql: str, params: Any, *, timeout: float) -> Any:
        waits.append(timeout)
        return execute(sql, params, timeout=timeout)

    monkeypatch.setattr(own_connection, "execute", timed)
    with other_writer():
        page = get(operator, f"/devices/{inventory.known_ids['online']}/")
    assert page.status_code == 200
    assert 0 < max(waits) <= 0.1


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connect as the web server does, with a short wait for a lock."""
    options = connection.settings_dict["OPTIONS"] | {"pool": None}
    if connection.vendor == "sqlite":
        del options["pool"]
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    limit_waits(0.2, 0)
    connection.close()
    yield
    connection.close()


def is_busy(answer: Any) -> bool:
    return bool(answer.status_code == 503 and BUSY in answer.text)


def test_every_change_of_iotda_is_a_503_that_says_that_nothing_was_sent(
    known: Known, cloud: Cloud, soon: None
) -> None:
    roles = {max(change.allowed - {"admin"}) for change in CHANGES}
    clients = {role: signed_in(role) for role in roles}
    answers = {}
    for change in CHANGES:
        client = clients[max(change.allowed - {"admin"})]
        url, sent = change.url(known), change.form(known)
        with other_writer():
            answers[change.name] = client.post(url, sent)
    assert {name: is_busy(each) for name, each in answers.items()} == dict.fromkeys(
        answers, True
    )
    assert write_requests(cloud) == []
    assert not Operation.objects.exists()


@pytest.fixture
def buttons(
    full: Operation,
    record_operation: Callable[..., Operation],
    start_operation: Callable[..., Operation],
    inventory: Cloud,
    actor: Actor,
) -> tuple[Client, dict[str, dict[str, Any]]]:
    """Return who may press every other button, and the address and form of each."""
    one, two, three, four, five = inventory.free(5)
    done = start_operation("device.freeze", one)
    pending = record_operation("device.freeze", two)
    paused = record_operation("device.freeze", three)
    Operation.objects.filter(pk=paused.pk).update(state="paused")
    inventory.fault("FreezeDevice", "drop")
    unknown = start_operation("device.freeze", four)
    inventory.heal()
    inventory.fault("FreezeDevice", "status", status=400, error_code="IOTDA.000006")
    refused = start_operation("device.freeze", five)
    inventory.heal()
    user = User.objects.get(pk=actor.user.pk)
    user.is_superuser = user.is_staff = True
    user.save()
    client = Client()
    client.force_login(user)
    failure = {"target": full.targets.get().pk, "query": "code=IOTDA.015204"}
    client.post("/failures/solve/", failure | {"save": "1", "reason": "paid"})
    again = start_operation("policy.bind", inventory.known_ids["full"], policy="policy")
    open_failure = failure | {"target": again.targets.get().pk}
    sign_in = {"username": user.username, "password": "a-password-1"}
    new, group = "Quite-new-9x", Group.objects.get(name="viewer").pk
    passwords = {"password1": "Other-new-7y", "password2": "Other-new-7y"}
    no_grants = {"grants-TOTAL_FORMS": "0", "grants-INITIAL_FORMS": "0"}
    retry = refused.get_absolute_url() + "retry/"
    undo = done.get_absolute_url() + "undo/"
    return client, {
        "/failures/take/": open_failure,
        "/failures/give-back/": open_failure,
        "/failures/note/": open_failure | {"save": "1", "note": "waits"},
        "/failures/solve/": open_failure | {"save": "1", "reason": "paid"},
        "/failures/reopen/": failure,
        "/failures/retry/": change_form(**open_failure),
        retry: form(client, retry, group=["failed:IOTDA.000006"], key="1" * 32),
        undo: form(client, undo, key="2" * 32),
        pending.get_absolute_url() + "cancel/": {},
        paused.get_absolute_url() + "continue/": {},
        unknown.get_absolute_url() + "check/": {},
        "/inventory/refresh/": {},
        "/accounts/login/": sign_in,
        "/accounts/password/": {
            "old_password": "a-password-1",
            "new_password1": new,
            "new_password2": new,
        },
        "/admin/auth/user/add/": {"username": "ann", "usable_password": "true"}
        | passwords
        | no_grants,
        f"/admin/auth/user/{user.pk}/password/": {"usable_password": "true"}
        | passwords,
        f"/admin/auth/group/{group}/delete/": {"post": "yes"},
        "/accounts/logout/": {},
    }


def test_every_other_button_is_a_503_that_says_that_nothing_was_changed(
    buttons: tuple[Client, dict[str, Any]], inventory: Cloud, soon: None
) -> None:
    client, sent = buttons
    writes, events = write_requests(inventory), Event.objects.count()
    with other_writer():
        answers = {
            url: (Client() if "login" in url else client).post(url, data)
            for url, data in sent.items()
        }
    assert {url: each.status_code for url, each in answers.items()} == dict.fromkeys(
        sent, 503
    )
    assert [url for url, each in answers.items() if not is_busy(each)] == []
    assert (write_requests(inventory), Event.objects.count()) == (writes, events)
    # They were complete: without the lock each is accepted.
    answers = {
        url: (Client() if "login" in url else client).post(url, data)
        for url, data in sent.items()
    }
    assert {url: each.status_code for url, each in answers.items()} == dict.fromkeys(
        sent, 302
    )


def test_a_message_that_cannot_be_saved_is_a_503(operator: Client, soon: None) -> None:
    """Django reports it as a session that was deleted."""
    operator.raise_request_exception = False
    with other_writer():
        assert is_busy(operator.post("/failures/take/"))


def test_a_replacement_is_a_503_too(
    me: Client, full: Operation, inventory: Cloud, soon: None
) -> None:
    url, before = page_of(full), len(write_requests(inventory))
    chosen = choices(me.get(url).text)[0]
    with other_writer():
        assert is_busy(me.post(url, change_form(unbind=chosen)))
    assert len(write_requests(inventory)) == before


def test_a_lock_after_the_change_was_recorded_is_not_called_nothing(
    operator: Client,
    inventory: Cloud,
    soon: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device, send, lock = inventory.free(1)[0], IotdaClient.freeze_device, other_writer()

    def freeze_device(client: IotdaClient, device_id: str) -> Any:
        lock.__enter__()
        return send(client, device_id)

    monkeypatch.setattr(IotdaClient, "freeze_device", freeze_device)
    page = operator.post(f"/devices/{device}/freeze/", change_form(key=OTHER_KEY))
    lock.__exit__(None, None, None)
    assert page.status_code == 503
    assert "Nothing was changed" not in page.text
    assert "Your request may have been recorded" in page.text
    operation = Operation.objects.get()
    assert outcome_counts(operation) == {"sent": 1}
    operation.chunks.update(lease_until=operation.created_at)
    reconcile_now()
    assert outcome_counts(operation) == {"ok": 1}
