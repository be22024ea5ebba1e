"""Pages that read IoTDA: how many at once, how long, and what they show otherwise."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from iotda_admin.iotda import OutOfTime, Unreachable, time_budget
from iotda_admin.rate import connection, store
from iotda_admin.rate.connection import client
from iotda_admin.rate.limits import account_limit
from iotda_admin.rate.models import PlatformState
from iotda_admin.rate.page_reads import fit_places, page_client, page_places
from policies.models import Policy
from tests.cloud import Cloud

BUSY = "IoTDA is busy."


@pytest.fixture
def no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_places, "number", 0)


def test_a_page_has_a_quarter_of_the_threads_and_half_of_the_connections(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_places, "number", page_places.number)
    settings.IOTDA_CONNECTIONS = 16
    places = []
    for threads in (1, 4, 16, 32, 100):
        fit_places(threads)
        places.append(page_places.number)
    assert places == [1, 1, 4, 8, 8]


@pytest.mark.usefixtures("no_place")
def test_without_a_place_a_device_is_shown_from_the_inventory(
    operator: Client, inventory: Cloud
) -> None:
    device = inventory.known_ids["online"]
    response = operator.get(f"/devices/{device}/")
    assert response.status_code == 200
    assert BUSY in response.text
    assert "Too many other pages are waiting for its answer." in response.text
    assert "Freeze" in response.text
    assert not inventory.journal("ShowDevice")


@pytest.mark.usefixtures("no_place")
def test_without_a_place_an_unknown_device_is_no_answer(
    viewer: Client, inventory: Cloud
) -> None:
    response = viewer.get("/devices/not-in-the-inventory-1/")
    assert response.status_code == 503
    assert BUSY in response.text
    assert "Shown as of" not in response.text


@pytest.mark.usefixtures("no_place")
def test_without_a_place_a_policy_is_shown_from_the_inventory(
    viewer: Client, inventory: Cloud
) -> None:
    policy = Policy.objects.get(pk=inventory.known_ids["other_policy"])
    response = viewer.get(f"/policies/{policy.pk}/")
    assert response.status_code == 200
    assert BUSY in response.text
    assert policy.name in response.text


@pytest.mark.usefixtures("no_place")
def test_without_a_place_the_list_says_that_iotda_was_not_asked(
    viewer: Client, inventory: Cloud
) -> None:
    response = viewer.get("/devices/", {"q": "not-in-the-inventory-1"})
    assert response.status_code == 200
    assert BUSY in response.text


def test_places_are_free_again_after_an_answer_and_after_an_error(
    viewer: Client, inventory: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_places, "number", 1)
    device = inventory.known_ids["online"]
    for fault in ("", "bad_json", ""):
        if fault:
            inventory.fault("ShowDevice", fault)
        response = viewer.get(f"/devices/{device}/")
        inventory.heal()
        assert BUSY not in response.text


def test_a_page_does_not_wait_long_for_the_rate_limit(
    paced: Callable[..., Any], viewer: Client, inventory: Cloud, settings: Settings
) -> None:
    paced(10, 10)
    settings.IOTDA_DEADLINE = 100
    store.pause_slots(account_limit(), 30)
    device = inventory.known_ids["online"]
    response = viewer.get(f"/devices/{device}/")
    assert response.status_code == 200
    assert BUSY in response.text
    assert "the next is free in" in response.text
    assert not inventory.journal("ShowDevice")


def test_waits_for_the_rate_limit_count_in_an_outer_time() -> None:
    with time_budget(5) as call:
        call.extend(10)
        assert call.left() > 10
    with time_budget(5) as page, time_budget(8) as call:
        call.extend(10)
        assert call.ends == page.ends


@pytest.mark.usefixtures("transactional_db")
def test_calls_that_the_time_of_a_page_cuts_short_are_no_outage(
    inventory: Cloud, settings: Settings
) -> None:
    client()  # each call has longer than the page
    settings.IOTDA_DEADLINE = 0.2
    inventory.fault("ShowDevice", "hang", seconds=5)
    with page_client() as iotda:
        for _ in range(3):
            with pytest.raises(OutOfTime) as caught:
                iotda.show_device(inventory.known_ids["online"])
    assert caught.value.retryable
    assert not PlatformState.objects.exists()
    assert len(inventory.journal("ShowDevice")) <= 1


@pytest.mark.usefixtures("transactional_db")
def test_a_call_that_had_the_whole_time_of_a_page_is_a_failure_of_iotda(
    inventory: Cloud, settings: Settings
) -> None:
    settings.IOTDA_DEADLINE = 0.5
    connection.client.cache_clear()
    inventory.fault("ShowDevice", "hang", seconds=5)
    with page_client() as iotda, pytest.raises(Unreachable):
        iotda.show_device(inventory.known_ids["online"])
    assert PlatformState.objects.get().kind == PlatformState.Kind.UNREACHABLE
