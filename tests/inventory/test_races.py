"""Two transactions that store the same rows of the inventory at the same time."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from devices.models import Device
from devices.sync import Devices
from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Operation
from iotda_admin.operations.verbs import get_verb
from policies.models import Binding
from policies.sync import Bindings
from tests.cloud import Cloud
from tests.operations.deployment import a_session_waits, until

pytestmark = [
    pytest.mark.skipif(
        "connection.vendor != 'postgresql'", reason="SQLite has one writer"
    ),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture
def device(inventory: Cloud) -> Device:
    return Device.objects.get(pk=inventory.free(1)[0])


def read(device: Device, status: str, read_at: datetime | None = None) -> Device:
    """Return the device as a listing has shown it."""
    row = Device.objects.get(pk=device.pk)
    row.status, row.read_at = status, read_at or timezone.now()
    return row


@contextmanager
def beside(other: Callable[[], object]) -> Iterator[None]:
    """Run `other` in a session that waits for the transaction of this block."""

    def in_its_own_session() -> object:
        try:
            return other()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            yield
            running: Future[object] = pool.submit(in_its_own_session)
            until(a_session_waits)
        running.result(20)


def drifts() -> list[str]:
    return [event.detail["change"] for event in Event.objects.filter(kind="drift")]


def apply(operation: Operation) -> None:
    ids = list(operation.targets.values_list("target_id", flat=True))
    get_verb(operation.verb).inventory.apply(operation, ids, [])


def test_a_sync_keeps_the_result_of_an_operation_that_is_not_committed_yet(
    device: Device, record_operation: Callable[..., Operation]
) -> None:
    operation = record_operation("device.freeze", device.pk)
    listed = read(device, "ONLINE")
    with beside(lambda: Devices().store([listed])):
        apply(operation)
    assert Device.objects.get(pk=device.pk).status == "FROZEN"
    assert drifts() == []


def test_a_sync_does_not_store_what_an_operation_is_removing(
    inventory: Cloud, record_operation: Callable[..., Operation]
) -> None:
    policy = inventory.known_ids["policy"]
    listed = Binding.objects.filter(policy=policy, target_type="device").first()
    operation = record_operation("policy.unbind", listed.target_id, policy="policy")
    listed.pk, listed.read_at = None, timezone.now()
    with beside(lambda: Bindings().store([listed])):
        apply(operation)
    assert not Binding.objects.filter(
        policy=policy, target_id=listed.target_id
    ).exists()
    assert drifts() == []


def test_two_reads_of_one_change_record_it_once(device: Device) -> None:
    first, second = read(device, "FROZEN"), read(device, "FROZEN")
    with beside(lambda: Devices().store([second])):
        Devices().store([first])
    assert drifts() == ["frozen"]


def test_the_older_of_two_reads_records_nothing(device: Device) -> None:
    earlier = timezone.now() - timedelta(seconds=1)
    old, new = read(device, "ONLINE", earlier), read(device, "FROZEN")
    with beside(lambda: Devices().store([old])):
        Devices().store([new])
    assert Device.objects.get(pk=device.pk).status == "FROZEN"
    assert drifts() == ["frozen"]


def test_two_reads_of_one_new_binding_record_it_once(
    inventory: Cloud, device: Device
) -> None:
    policy = inventory.known_ids["policy"]
    first, second = (
        Binding(policy_id=policy, target_type="device", target_id=device.pk)
        for _n in range(2)
    )
    with beside(lambda: Bindings().store([second])):
        Bindings().store([first])
    assert Binding.objects.filter(policy=policy, target_id=device.pk).count() == 1
    assert drifts() == ["bound"]


def test_two_reads_of_one_missing_binding_record_it_once(inventory: Cloud) -> None:
    row = Binding.objects.filter(policy=inventory.known_ids["policy"]).first()
    key, now = Bindings().key_of(row), timezone.now()
    with beside(lambda: Bindings().delete_gone([key], now, now)):
        Bindings().delete_gone([key], now, now)
    assert drifts() == ["unbound"]
