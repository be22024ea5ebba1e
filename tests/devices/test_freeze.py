"""Freeze and unfreeze one device, and what each answer of the platform becomes."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from devices.models import Device
from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Operation
from tests.cloud import Cloud
from tests.conftest import HTMX
from tests.operation_helpers import (
    change_form,
    make_iotda_unreachable,
    outcome_counts,
    write_requests,
)

NOT_IDS = [
    "a" * 129,
    "..",
    "%2F",
    "a%2Fb",
    "a%00b",
    "a%0A",
    "d%20d",
    "%D0%B0bc",
    "<b>",
    "a.b",
    "%F0%9F%98%80",
]


def freeze(client: Any, device: Any, **more: Any) -> Any:
    return client.post(f"/devices/{device}/freeze/", change_form(), **more)


def test_freeze_freezes_the_device(operator: Client, inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    freeze(operator, device)
    assert inventory.status(device) == "FROZEN"
    assert Device.objects.get(pk=device).frozen


def test_unfreeze_unfreezes_the_device(operator: Client, inventory: Cloud) -> None:
    device = inventory.known_ids["frozen"]
    operator.post(f"/devices/{device}/unfreeze/", change_form())
    assert inventory.status(device) == "OFFLINE"
    assert Device.objects.get(pk=device).status == "OFFLINE"


def test_a_ticket_is_recorded_without_invisible_characters(
    operator: Client, inventory: Cloud
) -> None:
    form = change_form(ticket="\u2066INC-9\u2069\u200b")
    operator.post(f"/devices/{inventory.known_ids['online']}/freeze/", form)
    assert Operation.objects.get().ticket == "INC-9"


def test_a_reason_and_a_ticket_are_one_line_each(
    operator: Client, inventory: Cloud
) -> None:
    form = change_form(
        reason="unpaid\r\nTicket: INC-1\x1b[2J", ticket="INC-9\r\nDone: 1"
    )
    operator.post(f"/devices/{inventory.known_ids['online']}/freeze/", form)
    operation = Operation.objects.get()
    assert operation.reason == "unpaid Ticket: INC-1 [2J"
    assert operation.ticket == "INC-9 Done: 1"


def test_a_reason_that_nobody_can_see_is_missing(
    operator: Client, inventory: Cloud
) -> None:
    form = change_form(reason="\u200b\u3164 \u2060")
    url = f"/devices/{inventory.known_ids['online']}/freeze/"
    answer = operator.post(url, form)
    assert answer.status_code == 422
    assert "Say why" in answer.text
    assert not Operation.objects.exists()


def test_an_htmx_request_gets_the_row(operator: Client, inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    response = freeze(operator, device, headers=HTMX)
    assert response.status_code == 200
    assert f'<tr id="device-{device}">' in response.text
    assert "Unfreeze" in response.text
    assert "<html" not in response.text


def test_the_form_is_a_dialog_or_a_page(operator: Client, inventory: Cloud) -> None:
    url = f"/devices/{inventory.known_ids['online']}/freeze/"
    assert "<html" not in operator.get(url, headers=HTMX).text
    assert (
        "<html"
        in operator.get(
            url, headers={**HTMX, "HX-History-Restore-Request": "true"}
        ).text
    )
    assert "<html" in operator.get(url).text


def test_an_invalid_form_stays_in_the_dialog(
    operator: Client, inventory: Cloud
) -> None:
    url = f"/devices/{inventory.known_ids['online']}/freeze/"
    response = operator.post(url, {"ticket": "INC-9"}, headers=HTMX)
    assert response.status_code == 422
    assert response.headers["HX-Retarget"] == "#dialog-body"
    assert 'value="INC-9"' in response.text


def test_an_empty_form_names_the_missing_fields(
    operator: Client, inventory: Cloud
) -> None:
    response = operator.post(f"/devices/{inventory.known_ids['online']}/freeze/")
    assert response.status_code == 422
    assert "Say why" in response.text


def test_the_actor_and_the_reason_are_recorded(
    operator: Client, inventory: Cloud
) -> None:
    device = inventory.known_ids["online"]
    freeze(operator, device)
    kept = Operation.objects.get()
    assert (kept.actor_name, kept.role, kept.source, kept.address) == (
        "operator", "operator", "web", "127.0.0.1",
    )  # fmt: skip
    assert (kept.reason, kept.ticket, kept.targets.get().target_id) == (
        "billing dispute",
        "INC-1",
        device,
    )


def test_a_second_freeze_is_recorded_as_already(
    operator: Client, inventory: Cloud
) -> None:
    device = inventory.known_ids["frozen"]
    response = freeze(operator, device, headers=HTMX)
    assert outcome_counts(Operation.objects.get()) == {"already": 1}
    assert "was frozen already" in response.text
    assert not write_requests(inventory)


@pytest.mark.parametrize("repeat", ["ok", "error"])
def test_a_device_frozen_between_read_and_call_is_already_frozen(
    operator: Client, inventory: Cloud, repeat: str
) -> None:
    inventory.switch(repeat_freeze=repeat)
    device = inventory.known_ids["online"]
    code: dict[str, Any] = {
        "status": 403,
        "error_code": "IOTDA.014039",
        "error_msg": "The device is already frozen.",
    }
    if repeat == "error":
        inventory.fault("FreezeDevice", "status", moment="after", **code)
    freeze(operator, device)
    assert outcome_counts(Operation.objects.get()) == {
        "already" if repeat == "error" else "ok": 1
    }


@pytest.mark.parametrize("which", ["online", "inactive"])
def test_an_unfreeze_of_a_device_that_is_not_frozen_is_already(
    operator: Client, inventory: Cloud, which: str
) -> None:
    operator.post(f"/devices/{inventory.known_ids[which]}/unfreeze/", change_form())
    assert outcome_counts(Operation.objects.get()) == {"already": 1}
    assert not write_requests(inventory)


def test_a_device_behind_a_gateway_is_rejected_without_a_call(
    operator: Client, inventory: Cloud
) -> None:
    response = freeze(operator, inventory.known_ids["child"], headers=HTMX)
    assert outcome_counts(Operation.objects.get()) == {"failed": 1}
    assert "This device is behind a gateway" in response.text
    assert not write_requests(inventory)


REFUSED = [
    (
        403,
        "IOTDA.014038",
        "It is not allowed to freeze sub-devices",
    ),
    (404, "IOTDA.014000", "The device does not exist. <b>Really.</b>"),
    (400, "IOTDA.000006", "Invalid input."),
    (409, "IOTDA.099999", "Something nobody has written down."),
]


@pytest.mark.parametrize(("status", "code", "said"), REFUSED)
def test_a_rejection_shows_the_message_of_iotda(
    operator: Client, inventory: Cloud, status: int, code: str, said: str
) -> None:
    inventory.fault(
        "FreezeDevice", "status", status=status, error_code=code, error_msg=said
    )
    response = freeze(operator, inventory.known_ids["online"], headers=HTMX)
    target = Operation.objects.get().targets.get()
    assert response.status_code == 200
    assert (target.state, target.error_code, target.error_message) == (
        "failed",
        code,
        said,
    )
    assert code in response.text
    assert inventory.journal("FreezeDevice")[-1]["request_id"] in response.text
    assert said.replace("<", "&lt;").replace(">", "&gt;") in response.text


def test_a_freeze_of_a_deleted_device_fails(operator: Client, inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    inventory.call("DELETE", f"devices/{device}")
    freeze(operator, device)
    target = Operation.objects.get().targets.get()
    assert (target.state, target.error_code) == ("failed", "IOTDA.014000")


def test_an_unreachable_iotda_is_shown_and_recorded(
    operator: Client, inventory: Cloud, settings: Settings
) -> None:
    make_iotda_unreachable(settings)
    response = freeze(operator, inventory.known_ids["online"], headers=HTMX)
    target = Operation.objects.get().targets.get()
    assert response.status_code == 502
    assert (target.state, target.error_code) == ("failed", "not_sent")
    assert "Nothing was sent" in response.text
    assert Event.objects.get(kind="operation.ended").outcome == "1 failed"


def test_a_throttled_freeze_waits_as_long_as_iotda_requests(
    operator: Client, inventory: Cloud
) -> None:
    inventory.fault("FreezeDevice", "throttle", retry_after=30)
    response = freeze(operator, inventory.known_ids["online"], headers=HTMX)
    chunk = Operation.objects.get().chunks.get()
    assert "asks us to slow down" in response.text
    assert "Freeze: waiting" in " ".join(response.text.split())
    assert outcome_counts(chunk.operation) == {"pending": 1}
    assert 25 < (chunk.due_at - chunk.sent_at).total_seconds() < 35


@pytest.mark.parametrize("value", NOT_IDS)
@pytest.mark.parametrize("end", ["", "freeze/", "unfreeze/"])
def test_an_invalid_id_reaches_neither_database_nor_iotda(
    operator: Client, inventory: Cloud, value: str, end: str
) -> None:
    seen = len(inventory.journal())
    url = f"/devices/{value}/{end}"
    assert operator.post(url, change_form()).status_code == (
        405 if operator.get(url).status_code == 200 else 404
    )
    assert operator.get(url).status_code == 404
    assert len(inventory.journal()) == seen


@pytest.mark.parametrize("length", [127, 128])
def test_the_longest_id_is_valid(
    operator: Client, inventory: Cloud, length: int
) -> None:
    assert freeze(operator, "x" * length).status_code == 404
    response = operator.get(f"/devices/{'x' * length}/")
    assert response.status_code == 404
    assert inventory.journal("ShowDevice")[-1]["path"].endswith("x" * length)
