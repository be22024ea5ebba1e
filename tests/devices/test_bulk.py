"""Freeze and unfreeze the selected devices after a confirmation."""

from html import escape
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from iotda_admin.operations.models import Operation
from iotda_admin.operations.web.forms import readable
from tests.cloud import Cloud
from tests.operation_helpers import (
    change_form,
    outcome_counts,
    run_workers,
    target_error_codes,
    target_states,
    write_requests,
)

BAD = [
    "a" * 129, "a\0b", "..", "a%2Fb", "abc\n", "\u0430bc", "a b", " abc", "<b>x</b>", "a/b", "",
]  # fmt: skip


def select(client: Any, *ids: Any, verb: str = "freeze", **form: Any) -> Any:
    return client.post(f"/devices/selection.{verb}/", {"target": list(ids), **form})


def test_the_confirmation_shows_exactly_what_will_change(
    operator: Client, inventory: Cloud
) -> None:
    chosen = [*inventory.free(2), inventory.known_ids["child"]]
    response = select(operator, *chosen)
    assert [f'name="target" value="{id}"' in response.text for id in chosen] == [
        True,
        True,
        False,
    ]
    assert "1 is left out" in response.text
    assert not Operation.objects.exists()


def test_the_confirmation_shows_how_many_are_online(
    operator: Client, inventory: Cloud
) -> None:
    chosen = [inventory.known_ids[name] for name in ("online", "frozen", "child")]
    assert "1 of them was online" in select(operator, *chosen).text
    assert "online when" not in select(operator, inventory.known_ids["frozen"]).text


def test_the_confirmation_says_what_is_sent_as_a_batch_task(
    operator: Client, inventory: Cloud, settings: Settings
) -> None:
    settings.BATCH_TASK_ABOVE = 2
    assert "batch task" not in select(operator, *inventory.free(2)).text
    assert (
        "batch task: once sent, it can't be stopped"
        in select(operator, *inventory.free(3)).text
    )


@pytest.mark.parametrize("verb", ["freeze", "unfreeze"])
def test_without_a_selection_it_redirects_to_the_list(
    operator: Client, inventory: Cloud, verb: str
) -> None:
    response = operator.get(
        f"/devices/selection.{verb}/", {"target": inventory.free(1), **change_form()}
    )
    assert response["Location"] == "/devices/"
    assert not Operation.objects.exists()


def test_more_than_one_chunk_is_recorded_and_answered_at_once(
    operator: Client, inventory: Cloud
) -> None:
    response = select(operator, *inventory.free(3), **change_form())
    operation = Operation.objects.get()
    assert response["Location"] == operation.get_absolute_url()
    assert outcome_counts(operation) == {"pending": 3}
    assert not write_requests(inventory)


def test_a_device_ticked_twice_is_one_target(
    operator: Client, inventory: Cloud
) -> None:
    device = inventory.free(1)[0]
    select(operator, device, device, **change_form())
    assert target_states(Operation.objects.get()) == {device: "ok"}


def test_a_device_missing_from_the_inventory_is_not_left_out_silently(
    operator: Client, inventory: Cloud
) -> None:
    device = inventory.free(1)[0]
    select(operator, device, "gone-since", **change_form())
    assert set(target_states(Operation.objects.get())) == {device, "gone-since"}


def test_an_empty_selection_is_an_error(operator: Client, inventory: Cloud) -> None:
    assert "No device was selected" in select(operator).text
    response = select(operator, **change_form())
    assert response.status_code == 422
    assert "Choose at least one" in response.text


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("verb", ["freeze", "unfreeze"])
def test_an_invalid_id_is_named_and_nothing_is_sent(
    operator: Client, inventory: Cloud, verb: str, value: str
) -> None:
    response = select(operator, inventory.free(1)[0], value, verb=verb, **change_form())
    assert response.status_code == 422
    assert "is not an ID" in response.text
    assert escape(readable(value)[:60]) in response.text
    assert 'value="billing dispute"' in response.text
    assert not write_requests(inventory)


def test_a_selection_beyond_the_limit_is_rejected(
    operator: Client, inventory: Cloud, settings: Settings
) -> None:
    settings.TARGETS_LIMIT = 2
    response = select(operator, *inventory.free(3), **change_form())
    assert response.status_code == 413
    assert "3 targets are more than the 2" in response.text
    assert not Operation.objects.exists()


def test_one_device_in_flight_rejects_the_whole_selection(
    operator: Client, inventory: Cloud
) -> None:
    first, second = inventory.free(2)
    inventory.fault("FreezeDevice", "throttle", retry_after=60)
    operator.post(f"/devices/{first}/freeze/", change_form())
    response = select(operator, second, first, **change_form(key="f" * 32))
    assert response.status_code == 409
    assert Operation.objects.count() == 1


def test_each_device_has_its_own_outcome(operator: Client, inventory: Cloud) -> None:
    good, gone = inventory.free(2)
    frozen = inventory.known_ids["frozen"]
    inventory.call("DELETE", f"devices/{gone}")
    select(operator, good, gone, frozen, **change_form())
    run_workers()
    operation = Operation.objects.get()
    assert target_states(operation) == {good: "ok", gone: "failed", frozen: "already"}
    assert target_error_codes(operation)[gone] == "IOTDA.014000"


def test_a_selection_of_invalid_ids_only_names_them_too(
    operator: Client, inventory: Cloud
) -> None:
    response = select(operator, "a b", **change_form())
    assert response.status_code == 422
    assert "“a b” is not an ID" in response.text
