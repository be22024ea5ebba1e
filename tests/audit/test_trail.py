import csv
from datetime import time
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client, RequestFactory
from pytest_django import Settings

from devices.models import Space
from iotda_admin.access.actor import address_of
from iotda_admin.audit.chain import TARGET_COLUMNS
from iotda_admin.audit.models import Event, Outcome
from iotda_admin.audit.record import record_event
from iotda_admin.operations.models import Target
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import bind_form

KEY = "0123456789abcdef0123456789abcdef"


def freeze(client: Any, device: Any, **more: Any) -> Any:
    ask = {"reason": "billing dispute", "ticket": "INC-4711", "key": KEY, **more}
    return client.post(f"/devices/{device}/freeze/", ask)


def test_an_operation_records_who_did_what_and_why(
    operator: Client, inventory: Cloud
) -> None:
    freeze(operator, inventory.known_ids["online"])
    event = Event.objects.get(kind="operation.asked")
    assert (event.actor_name, event.role, event.source) == (
        "operator",
        "operator",
        "web",
    )
    assert (event.verb, event.reason, event.ticket) == (
        "device.freeze",
        "billing dispute",
        "INC-4711",
    )
    assert [target.target_id for target in event.outcomes.all()] == [
        inventory.known_ids["online"]
    ]


def test_an_operation_records_how_it_ended(operator: Client, inventory: Cloud) -> None:
    freeze(operator, inventory.known_ids["child"])
    assert Event.objects.get(kind="operation.ended").outcome == "1 failed"


def test_a_denied_request_is_recorded(viewer: Client, inventory: Cloud) -> None:
    freeze(viewer, inventory.known_ids["online"])
    event = Event.objects.get(kind="denied")
    assert event.actor_name == "viewer"
    assert event.detail["path"].endswith("/freeze/")


def test_logins_and_failed_logins_are_recorded(anonymous: Client) -> None:
    make_user("viewer")
    anonymous.post("/accounts/login/", {"username": "viewer", "password": "wrong"})
    anonymous.post(
        "/accounts/login/", {"username": "viewer", "password": "a-password-1"}
    )
    kinds = [
        event.kind
        for event in Event.objects.filter(kind__startswith="login").order_by("id")
    ]
    assert kinds == ["login.failed", "login"]


@pytest.mark.parametrize(
    ("source", "kept"), [("web", True), ("cli", True), ("worker", False)]
)
def test_failed_logins_outside_working_hours_are_marked(
    db: None, settings: Settings, source: str, kept: bool
) -> None:
    settings.WORKING_HOURS = (set(), time(), time())
    record_event("login.throttled", source=source)
    assert Event.objects.get().outside_hours == kept


@pytest.mark.parametrize(
    ("hop", "address"),
    [
        ("203.0.113.9:40001", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("[2001:DB8::1]:40001", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("another:1", "127.0.0.1"),
    ],
)
def test_a_forwarded_address_has_no_port(
    rf: RequestFactory, settings: Settings, hop: str, address: str
) -> None:
    settings.BEHIND_PROXY = True
    assert address_of(rf.get("/", headers={"X-Forwarded-For": hop})) == address


def test_a_password_typed_as_user_name_is_not_recorded(anonymous: Client) -> None:
    anonymous.post(
        "/accounts/login/", {"username": "hunter2-my-password", "password": "x"}
    )
    assert "hunter2" not in str(Event.objects.values())


def test_an_event_cannot_be_changed_or_deleted(anonymous: Client) -> None:
    anonymous.post("/accounts/login/", {"username": "x", "password": "x"})
    event = Event.objects.get()
    with pytest.raises(TypeError):
        event.save()
    with pytest.raises(TypeError):
        event.delete()


def no_room_for_events(
    execute: Any, sql: Any, params: Any, many: Any, context: Any
) -> Any:
    if sql.startswith('INSERT INTO "audit_event"'):
        raise OperationalError("database or disk is full")
    return execute(sql, params, many, context)


def test_a_change_that_cannot_be_recorded_is_not_made(
    operator: Client, inventory: Cloud
) -> None:
    with connection.execute_wrapper(no_room_for_events):
        assert freeze(operator, inventory.known_ids["online"]).status_code == 503
    assert inventory.journal("FreezeDevice") == []


def test_an_operation_is_found_by_its_ticket(
    operator: Client, auditor: Client, inventory: Cloud
) -> None:
    freeze(operator, inventory.known_ids["online"])
    page = auditor.get("/audit/", {"q": "INC-4711"}, follow=True).text
    assert "billing dispute" in page
    assert "Signed in" not in page.split("<tbody>")[1]


@pytest.mark.parametrize(
    "query",
    [
        "?after=x",
        "?before=-1",
        "?kind=nonsense",
        "?q=%00",
        "?q=OP-99999999999999999999",
    ],
)
def test_invalid_filters_do_not_break_the_page(auditor: Client, query: str) -> None:
    assert auditor.get(f"/audit/{query}", follow=True).status_code == 200


def export(client: Any, **query: Any) -> list[Any]:
    response = client.get("/audit/export.csv", query)
    return list(csv.DictReader(StringIO(response.getvalue().decode("utf-8-sig"))))


def test_csv_has_every_matching_event(
    operator: Client, auditor: Client, inventory: Cloud
) -> None:
    freeze(operator, inventory.known_ids["online"])
    rows = export(auditor, ticket="INC-4711")
    kinds = ["operation.asked", "chunk.sent", "chunk.answered", "operation.ended"]
    assert [row["kind"] for row in reversed(rows)] == kinds
    assert rows[0]["reason"] == "billing dispute"


def test_an_export_is_an_event(auditor: Client) -> None:
    export(auditor)
    assert Event.objects.get(kind="export").actor_name == "auditor"


FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", ' "=1', "%0A=1", ";=1", "\u200b=1", "\ufeff \u200d=1",
]  # fmt: skip


@pytest.mark.parametrize("formula", FORMULAS)
def test_csv_has_no_formula(
    operator: Client, auditor: Client, inventory: Cloud, formula: str
) -> None:
    freeze(operator, inventory.known_ids["online"], reason=f"{formula}x", ticket="T")
    (reason,) = {
        row["reason"] for row in export(auditor, ticket="T") if row["ticket"] == "T"
    }
    assert reason[0] == "'"


def test_every_csv_cell_is_quoted(auditor: Client) -> None:
    response = auditor.get("/audit/export.csv")
    text = response.getvalue().decode("utf-8-sig")
    assert all(
        line.startswith('"') and line.endswith('"') for line in text.splitlines()
    )


def test_nul_characters_are_removed(auditor: Client) -> None:
    record_event("denied", summary="a\0b", detail={"path": ["\0"], "q": {"\0": "c\0"}})
    event = Event.objects.get(kind="denied")
    assert (event.summary, event.detail) == ("ab", {"path": [""], "q": {"": "c"}})


@pytest.mark.parametrize(
    ("told", "stored"),
    [
        (("d1",), ["d1", "", "", "", ""]),
        (("d1", "Lampe Süd", Target.State.OK), ["d1", "Lampe Süd", "ok", "", ""]),
        (("d\0" + "1" * 200, "\ud800"), ["d" + "1" * 127, "?", "", "", ""]),
        (("d1", "n" * 300, "ok", "c" * 65), ["d1", "n" * 256, "ok", "c" * 64, ""]),
    ],
)
def test_a_target_is_stored_as_its_columns_can_hold_it(
    auditor: Client, told: Any, stored: list[str]
) -> None:
    record_event("chunk.answered", targets=[told])
    call_command("audit_verify")
    outcome = Outcome.objects.values_list(*TARGET_COLUMNS).last()
    assert list(outcome or ()) == stored


def test_an_event_shows_changes_in_words(auditor: Client) -> None:
    changes = {"spaces": [[], ["every space"]], "is_active": [True, False]}
    record_event(
        "account.changed",
        summary="user Ada",
        detail={"what": "user", "id": 7, "changes": changes},
    )
    page = auditor.get(f"/audit/{Event.objects.latest('pk').pk}/").text
    assert "none → every space" in page
    assert "yes → no" in page
    assert "{" not in page.split("<main")[1]


def test_changes_show_labels_instead_of_field_names(auditor: Client) -> None:
    changes = {"is_staff": [False, True], "password": ["kept secret", "changed"]}
    changes["permissions"] = [[], ["devices.freeze_device"]]
    record_event(
        "account.changed",
        summary="role x",
        detail={"what": "role", "name": "x", "changes": changes},
    )
    for url in (
        "/audit/?kind=account.changed",
        f"/audit/{Event.objects.latest('pk').pk}/",
    ):
        page = auditor.get(url).text
        assert "Staff status" in page
        assert "none → Can freeze and unfreeze devices" in page
        assert not [
            raw for raw in ("is_staff", "devices.freeze", "kept secret") if raw in page
        ]


def test_outcomes_and_our_own_codes_are_shown_in_words(auditor: Client) -> None:
    targets = [
        ("d1", "Pump", "failed", "not_directly_connected", ""),
        ("d2", "", "ok", "", ""),
    ]
    record_event(
        "chunk.answered",
        source="cli",
        outcome="1 failed, 2 ok",
        targets=targets,
        target_type="device",
    )
    for url in (
        "/audit/?kind=chunk.answered",
        f"/audit/{Event.objects.latest('pk').pk}/",
    ):
        page = auditor.get(url).text
        assert "1 failed, 2 done" in page
        assert "Command line" in page
        assert "IoTDA freezes only directly connected devices" in page
        assert ">not_directly_connected<" not in page


def test_the_frequent_searches_are_open_until_a_filter_is_set(auditor: Client) -> None:
    assert '<details class="fold" id="presets" open>' in auditor.get("/audit/").text
    assert (
        '<details class="fold" id="presets">'
        in auditor.get("/audit/?ticket=INC-1").text
    )


def test_the_preset_of_whole_space_binds_lists_requests_with_their_outcomes(
    admin: Client, auditor: Client, inventory: Cloud
) -> None:
    space = Space.objects.get(pk=inventory.known_ids["space"])
    about = {"target_type": "app", "space_name": space.name}
    form = bind_form(inventory.known_ids["policy"], space.pk, **about)
    admin.post("/policies/selection.bind/", form)
    page = auditor.get("/audit/")
    url = next(url for label, url in page.context["presets"] if "whole" in str(label))
    found = auditor.get(url).context["page"].items
    assert [(event.kind, event.outcome) for event in found] == [
        ("chunk.answered", "1 ok"),
        ("operation.asked", ""),
    ]
    (target,) = found[0].targets
    assert (target.target_id, target.outcome) == (space.pk, "ok")
