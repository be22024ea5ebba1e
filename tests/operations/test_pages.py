"""The list of operations, an operation's page during and after its run, and "check now"."""

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from iotda_admin.access.actor import Actor
from iotda_admin.audit.models import Event
from iotda_admin.operations.error_codes import explain_code
from iotda_admin.operations.execution import reconciliation
from iotda_admin.operations.models import Chunk, Operation
from iotda_admin.operations.web import presenters
from iotda_admin.rate import connection, store
from iotda_admin.rate.limits import account_limit
from iotda_admin.rate.page_reads import page_places
from tests.cloud import Cloud
from tests.conftest import HTMX, signed_in
from tests.iotda.wire import Wire, reply
from tests.operation_helpers import (
    make_everything_due,
    make_iotda_unreachable,
    outcome_counts,
    reconcile_now,
    run_workers,
    write_requests,
)

POLLING = 'hx-trigger="every '


@pytest.fixture
def unknown(start_operation: Callable[..., Operation], inventory: Cloud) -> Any:
    """A freeze that was applied and not answered, and is due for read-back."""
    inventory.fault("FreezeDevice", "drop", match={"times": 1}, moment="after")
    operation = start_operation("device.freeze", inventory.free(1)[0])
    Chunk.objects.update(due_at=timezone.now())
    return operation


def test_the_page_polls_until_all_targets_are_answered(
    auditor: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation(
        "policy.bind", *inventory.free(10), *(f"nobody-{n}" for n in range(15))
    )
    running = auditor.get(operation.get_absolute_url(), headers=HTMX)
    assert POLLING in running.text
    assert "0 of 25 answered" in running.text
    run_workers()
    ended = auditor.get(operation.get_absolute_url(), headers=HTMX)
    assert "hx-trigger" not in ended.text
    assert "<progress" not in ended.text


def test_the_page_shows_when_a_paused_operation_continues(
    auditor: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    inventory.fault("FreezeDevice", "throttle", retry_after=90)
    operation = start_operation("device.freeze", inventory.free(1)[0])
    assert "Continues at" in auditor.get(operation.get_absolute_url()).text


def test_failures_are_grouped_by_cause(
    auditor: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    full = inventory.known_ids["full"]
    operation = start_operation(
        "policy.bind", full, "nobody-1", "nobody-2", *inventory.free(1), policy="policy"
    )
    text = auditor.get(operation.get_absolute_url()).text
    assert text.count('class="failure"') == 2
    assert text.index("IOTDA.014000") < text.index("IOTDA.015204")
    assert "1 succeeded" in text


def test_failures_without_a_code_are_grouped_by_their_status(
    auditor: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    one, other = inventory.free(2)
    for device, status in ((one, 404), (other, 409)):
        inventory.fault(
            "FreezeDevice",
            "status",
            match={"ids": [device]},
            status=status,
            error_code="",
        )
    operation = start_operation("device.freeze", one, other)
    run_workers()
    causes = auditor.get(operation.get_absolute_url()).context["causes"]
    found = [
        (c.help, c.targets[0].target_id)
        for c in sorted(causes, key=attrgetter("status"))
    ]
    assert found == [(explain_code("", 404), one), (explain_code("", 409), other)]


def test_a_failure_names_the_proxy_that_asks_for_a_password(
    auditor: Client,
    start_operation: Callable[..., Operation],
    inventory: Cloud,
    settings: Settings,
) -> None:
    proxy = Wire()
    proxy.answer = reply(b"", 407)
    settings.IOTDA_PROXY = proxy.url
    connection.client.cache_clear()
    operation = start_operation("device.freeze", *inventory.free(1))
    proxy.close()
    text = auditor.get(operation.get_absolute_url()).text
    assert "Nothing was sent and nothing was changed." in text
    assert f"the proxy 127.0.0.1:{proxy.port} asks for a user name" in text


@pytest.mark.parametrize("page", ["", "targets/"])
def test_a_failure_shows_the_request_id(
    auditor: Client,
    start_operation: Callable[..., Operation],
    inventory: Cloud,
    page: str,
) -> None:
    operation = start_operation(
        "policy.bind", inventory.known_ids["full"], policy="policy"
    )
    request = inventory.journal("BindDevicePolicy")[-1]["request_id"]
    assert (
        f'data-copy="{request}"'
        in auditor.get(f"{operation.get_absolute_url()}{page}").text
    )


def test_the_reason_of_a_stop_is_at_the_top(
    auditor: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    inventory.fault(
        "FreezeDevice",
        "status",
        status=403,
        error_code="IOTDA.000022",
        error_msg="<i>No.</i>",
    )
    operation = start_operation("device.freeze", *inventory.free(2))
    run_workers()
    text = auditor.get(operation.get_absolute_url()).text
    assert "Stopped: IoTDA would reject the remaining targets" in text
    assert "&lt;i&gt;No.&lt;/i&gt;" in text


def test_check_now_resolves_an_unknown_target(admin_too: Client, unknown: Any) -> None:
    response = admin_too.post(f"{unknown.get_absolute_url()}check/")
    assert response["Location"] == unknown.get_absolute_url()
    assert outcome_counts(unknown) == {"ok": 1}


def test_check_now_reads_nothing_without_a_place(
    admin_too: Client, unknown: Any, inventory: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_places, "number", 0)
    calls = len(inventory.journal())
    response = admin_too.post(f"{unknown.get_absolute_url()}check/")
    assert response.status_code == 503
    assert "IoTDA is busy: nothing was read." in response.text
    assert len(inventory.journal()) == calls
    assert outcome_counts(unknown) == {"unknown": 1}


@pytest.mark.parametrize("limit", ["rate", "time"])
def test_a_check_that_a_limit_of_ours_ends_says_so_and_delays_no_worker(
    limit: str,
    paced: Callable[..., Any],
    admin_too: Client,
    unknown: Any,
    inventory: Cloud,
    settings: Settings,
) -> None:
    if limit == "rate":
        paced(10, 10)
        store.pause_slots(account_limit(), 3000)
    else:
        connection.client()  # each call has longer than the page
        settings.IOTDA_DEADLINE = 0.2
        inventory.fault("ShowDevice", "hang", seconds=5)
    response = admin_too.post(f"{unknown.get_absolute_url()}check/", headers=HTMX)
    assert response.status_code == 503
    assert "IoTDA is busy: nothing was read." in response.text
    inventory.heal()
    paced(0)
    reconciliation.reconcile_due()
    assert outcome_counts(unknown) == {"ok": 1}


def test_check_now_swaps_the_result(admin_too: Client, unknown: Any) -> None:
    response = admin_too.post(f"{unknown.get_absolute_url()}check/", headers=HTMX)
    assert response.status_code == 200
    assert 'id="operation"' in response.text
    assert "hx-trigger" not in response.text
    assert "<html" not in response.text


def test_check_now_before_it_is_due_calls_nothing(
    admin_too: Client, unknown: Any, inventory: Cloud
) -> None:
    Chunk.objects.update(due_at="2100-01-01T00:00Z")
    asked = len(inventory.journal())
    admin_too.post(f"{unknown.get_absolute_url()}check/")
    assert len(inventory.journal()) == asked


def test_check_now_leaves_the_target_unknown_while_iotda_is_down(
    admin_too: Client, unknown: Any, settings: Settings
) -> None:
    make_iotda_unreachable(settings)
    response = admin_too.post(f"{unknown.get_absolute_url()}check/", headers=HTMX)
    assert response.status_code == 200
    assert outcome_counts(unknown) == {"unknown": 1}


def test_check_now_without_a_csrf_token_is_rejected(
    admin_too: Client, unknown: Any
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = admin_too.cookies
    assert client.post(f"{unknown.get_absolute_url()}check/").status_code == 403
    assert outcome_counts(unknown) == {"unknown": 1}


def test_check_now_sends_no_change(
    admin_too: Client, unknown: Any, inventory: Cloud
) -> None:
    admin_too.post(f"{unknown.get_absolute_url()}check/")
    assert len(write_requests(inventory)) == 1


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", False),
        ("auditor", False),
        ("policy admin", False),
        ("operator", True),
    ],
)
def test_check_now_requires_the_permission_of_the_verb(
    role: str, may: bool, unknown: Any
) -> None:
    client = signed_in(role)
    assert ("Check now" in client.get(unknown.get_absolute_url()).text) == may
    assert client.post(f"{unknown.get_absolute_url()}check/").status_code == (
        302 if may else 403
    )
    assert outcome_counts(unknown) == ({"ok": 1} if may else {"unknown": 1})


def test_the_trail_names_who_checked(admin_too: Client, unknown: Any) -> None:
    admin_too.post(f"{unknown.get_absolute_url()}check/")
    event = Event.objects.get(kind="operation.checked")
    assert (event.actor_name, event.operation) == ("admin", unknown.pk)


def test_check_now_reads_at_most_five_targets(
    admin_too: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    inventory.fault("FreezeDevice", "drop", moment="after")
    operation = start_operation("device.freeze", *inventory.free(7))
    while outcome_counts(operation).get("pending"):
        run_workers()
        make_everything_due()
    admin_too.post(f"{operation.get_absolute_url()}check/")
    assert outcome_counts(operation) == {"ok": 5, "unknown": 2}


@pytest.mark.parametrize("role", ["viewer", "operator"])
@pytest.mark.parametrize("page", ["", "targets/", "failures.csv"])
def test_a_colleagues_operation_can_be_read(role: str, unknown: Any, page: str) -> None:
    client = signed_in(role)
    response = client.get(f"{unknown.get_absolute_url()}{page}")
    assert response.status_code == 200
    text = "".join(map(bytes.decode, response)) if page else response.text
    assert unknown.targets.get().target_id in text
    assert str(unknown) in client.get("/operations/").text
    assert str(unknown) not in client.get("/operations/?mine=1").text


@pytest.mark.parametrize(
    ("role", "offered"),
    [("viewer", set()), ("auditor", set()), ("operator", {"retry", "undo"})],
)
def test_follow_ups_of_a_colleagues_operation_require_the_permission_of_the_verb(
    role: str,
    offered: set[str],
    start_operation: Callable[..., Operation],
    inventory: Cloud,
) -> None:
    device, child = inventory.known_ids["online"], inventory.known_ids["child"]
    operation = start_operation("device.freeze", device, child)
    run_workers()
    client = signed_in(role)
    text = client.get(operation.get_absolute_url()).text
    assert set(re.findall(r'id="(retry|undo|cancel)"', text)) == offered
    for act in ("retry", "undo", "cancel"):
        status = client.get(f"{operation.get_absolute_url()}{act}/").status_code
        assert status == (200 if offered else 403)


@pytest.fixture
def admin_too(actor: Actor) -> Client:
    """The one who asked, signed in."""
    client = Client()
    client.force_login(actor.user)
    return client


@pytest.mark.parametrize(
    "state", ["running", "done", "stopped", "nonsense", "\0", "<b>"]
)
def test_the_list_can_be_filtered(auditor: Client, unknown: Any, state: str) -> None:
    response = auditor.get("/operations/", {"state": state})
    assert response.status_code == 200
    assert (str(unknown) in response.text) == (state not in ("done", "stopped"))
    assert "<b></" not in response.text


@pytest.mark.parametrize("state", ["unknown", "ok", "nonsense", "\0"])
def test_targets_can_be_filtered(auditor: Client, unknown: Any, state: str) -> None:
    response = auditor.get(f"{unknown.get_absolute_url()}targets/", {"state": state})
    assert response.status_code == 200
    assert (unknown.targets.get().target_id in response.text) == (state != "ok")


@pytest.mark.parametrize(
    "number", ["0", "999999", "9" * 19, "9" * 40, "-1", "1x", "%00"]
)
def test_a_missing_operation_is_not_found(auditor: Client, number: str) -> None:
    assert auditor.get(f"/operations/{number}/").status_code == 404


@pytest.mark.parametrize("edge", ["after", "before"])
@pytest.mark.parametrize("key", ["x", "-1", "9" * 18, "9" * 30, "1e3", "\0", "²", "0"])
def test_an_invalid_page_key_still_lists_operations(
    auditor: Client, unknown: Any, edge: str, key: str
) -> None:
    response = auditor.get("/operations/", {edge: key})
    assert response.status_code == 200
    assert str(unknown) in response.text


def test_the_list_distinguishes_targets_being_read_back_from_unknown_ones(
    auditor: Client,
    unknown: Any,
    start_operation: Callable[..., Operation],
    inventory: Cloud,
) -> None:
    assert "being read back" in auditor.get("/").text
    start_operation("device.unfreeze", unknown.targets.get().target_id)
    reconcile_now()
    text = auditor.get("/").text
    assert outcome_counts(unknown) == {"unknown": 1}
    assert "being read back" not in text
    assert "they stay unknown" in text


def test_the_targets_that_succeeded_can_be_listed(
    auditor: Client,
    start_operation: Callable[..., Operation],
    inventory: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presenters, "TARGETS_SHOWN", 1)
    inventory.switch(already_bound="failure")
    bound = min(inventory.bound(inventory.known_ids["policy"]))
    operation = start_operation(
        "policy.bind", bound, *inventory.free(1), policy="policy"
    )
    text = auditor.get(operation.get_absolute_url()).text
    links = re.findall(r'targets/\?state=(\w+)">All 1', text)
    assert sorted(links) == ["already", "ok"]


def test_the_list_needs_as_many_queries_for_many_operations_as_for_one(
    auditor: Client,
    record_operation: Callable[..., Operation],
    inventory: Cloud,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for device in inventory.free(8):
        record_operation("device.freeze", device)
    with django_assert_max_num_queries(12):
        response = auditor.get("/operations/")
    assert response.text.count("OP-") >= 8
