"""Services: an operation is created once, and recorded before it is sent."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from iotda_admin.access.actor import Actor
from iotda_admin.audit.models import Event
from iotda_admin.operations import services
from iotda_admin.operations.models import Operation
from iotda_admin.operations.services import (
    Conflict,
    DuplicateKey,
    NotAllowed,
    NoTargets,
    dispatch,
)
from iotda_admin.rate.connection import client
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import create, outcome_counts, write_requests


def test_creating_an_operation_sends_nothing(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(1))
    assert operation.targets.get().state == "pending"
    assert not write_requests(inventory)


def test_a_request_is_in_the_trail_before_it_is_sent(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(1), ticket="INC-1")
    event = Event.objects.get(kind="operation.asked")
    assert (event.operation, event.reason, event.ticket) == (
        operation.pk,
        "because",
        "INC-1",
    )
    assert [target.target_id for target in event.outcomes.all()] == list(
        inventory.free(1)
    )


def test_an_attempt_without_permission_is_rejected_and_recorded(
    actor: Actor, inventory: Cloud
) -> None:
    viewer = Actor(make_user("viewer"), "viewer", "test")
    with pytest.raises(NotAllowed):
        create("device.freeze", ["d1"], viewer)
    event = Event.objects.get(kind="denied")
    assert (event.actor_name, event.detail["needs"]) == (
        "viewer",
        "devices.freeze_device",
    )
    assert not Operation.objects.exists()


def test_an_operation_without_targets_is_rejected(
    record_operation: Callable[..., Operation],
) -> None:
    with pytest.raises(NoTargets):
        record_operation("device.freeze")


@pytest.mark.parametrize("more", [{"reason": "another"}, {"ticket": "INC-2"}])
def test_a_key_reused_with_another_reason_is_rejected(
    record_operation: Callable[..., Operation], inventory: Cloud, more: dict[str, Any]
) -> None:
    record_operation("device.freeze", *inventory.free(1), form_key="same")
    with pytest.raises(DuplicateKey):
        record_operation("device.freeze", *inventory.free(1), form_key="same", **more)


def test_a_key_reused_with_reordered_targets_is_the_same_operation(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    ids = inventory.free(3)
    first = record_operation("device.freeze", *ids, form_key="same")
    assert record_operation("device.freeze", *reversed(ids), form_key="same") == first


def test_freezing_and_unfreezing_exclude_each_other(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    record_operation("device.freeze", *inventory.free(1))
    with pytest.raises(Conflict, match="has been changing"):
        record_operation("device.unfreeze", *inventory.free(1))


def test_binds_of_two_policies_do_not_exclude_each_other(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    record_operation("policy.bind", *inventory.free(1), policy="policy")
    record_operation("policy.bind", *inventory.free(1), policy="other_policy")
    assert Operation.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_it_refuses_to_run_in_another_transaction(actor: Actor) -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        create("device.freeze", ["d1"], actor)


def together(n: Any, act: Any) -> Any:
    def one(i: Any) -> Any:
        try:
            return act(i)
        except Conflict:
            return None
        finally:
            database.close()

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(one, range(n)))


@pytest.mark.django_db(transaction=True)
def test_the_same_form_sent_by_eight_at_once_is_one_operation(actor: Actor) -> None:
    def send(_i: Any) -> Any:
        return create("device.freeze", ["d1"], actor).pk

    assert len(set(together(8, send))) == 1
    assert Operation.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_of_eight_concurrent_changes_of_a_target_is_accepted(actor: Actor) -> None:
    def send(i: Any) -> Any:
        return create("device.freeze", ["d1"], actor, f"k{i}").pk

    assert sum(pk is not None for pk in together(8, send)) == 1
    assert Event.objects.filter(kind="operation.asked").count() == 1


def test_a_losing_concurrent_change_names_the_operation_in_flight(
    record_operation: Callable[..., Operation],
    inventory: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check before is for the message; the database enforces the rule."""
    (device,) = inventory.free(1)
    record_operation("device.freeze", device)
    monkeypatch.setattr(services, "CHECKED_FIRST", 0)
    with pytest.raises(Conflict, match=r"OP-\d+ by admin"):
        record_operation("device.unfreeze", device)


def test_the_same_form_sent_again_waits_for_the_operation(
    record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(1))
    Operation.objects.update(waits_until=timezone.now() + timedelta(minutes=10))
    dispatch(operation, client())
    assert (outcome_counts(operation), write_requests(inventory)) == (
        {"pending": 1},
        [],
    )
