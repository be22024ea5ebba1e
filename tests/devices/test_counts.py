"""The numbers of devices equal the rows, whatever has written them."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from devices import counts
from devices.counts import (
    COUNTS,
    count_kept,
    count_statuses,
    install_counts,
    repair_counts,
    sum_up_counts,
)
from devices.models import Device
from iotda_admin.inventory.models import SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.rate.connection import client
from tests.cloud import Cloud
from tests.devices.test_status_push import SECRET, later, message, push
from tests.operation_helpers import change_form

KINDS = st.tuples(
    st.sampled_from(["north", "south"]),
    st.sampled_from(["GATEWAY", "ENDPOINT"]),
    st.sampled_from(["ONLINE", "FROZEN", ""]),
)
NUMBERS = st.integers(0, 9)


def expected(spaces: set[str] | None = None) -> Counter[str]:
    rows = Device.objects.values_list("app_id", "status")
    return Counter(
        status for app_id, status in rows if spaces is None or app_id in spaces
    )


def agree() -> None:
    assert count_statuses(None) == expected()
    for spaces in ({"north"}, {"north", "south"}, {"elsewhere"}, set()):
        assert count_statuses(spaces) == expected(spaces)
        gateways = Device.objects.filter(node_type="GATEWAY", app_id__in=spaces)
        assert count_kept({"node_type": "GATEWAY"}, spaces) == gateways.count()


def device(number: int, kind: tuple[str, str, str]) -> Device:
    app_id, node_type, status = kind
    return Device(
        device_id=f"d{number}", app_id=app_id, node_type=node_type, status=status
    )


def save(number: int, kind: tuple[str, str, str]) -> None:
    device(number, kind).save()


def insert_many(number: int, kind: tuple[str, str, str]) -> None:
    Device.objects.bulk_create(
        [device(n, kind) for n in range(number)], ignore_conflicts=True
    )


def upsert_many(number: int, kind: tuple[str, str, str]) -> None:
    Device.objects.bulk_create(
        [device(n, kind) for n in range(number)],
        update_conflicts=True,
        unique_fields=["device_id"],
        update_fields=["status", "node_type"],
    )


def move_all(number: int, kind: tuple[str, str, str]) -> None:
    app_id, node_type, status = kind
    rows = Device.objects.filter(pk__gte=f"d{number}")
    rows.update(app_id=app_id, node_type=node_type, status=status)


def rename(number: int, kind: tuple[str, str, str]) -> None:
    Device.objects.update(name=kind[0])


def delete(number: int, kind: tuple[str, str, str]) -> None:
    Device.objects.filter(pk__lte=f"d{number}").delete()


def fail(number: int, kind: tuple[str, str, str]) -> None:
    """A transaction that is rolled back."""
    with transaction.atomic():
        insert_many(number, kind)
        delete(number, kind)
        transaction.set_rollback(True)


def sum_up(number: int, kind: tuple[str, str, str]) -> None:
    sum_up_counts()


WRITES = [save, insert_many, upsert_many, move_all, rename, delete, fail, sum_up]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(WRITES), NUMBERS, KINDS), max_size=12))
def test_the_counts_follow_every_write(
    db: None, monkeypatch: pytest.MonkeyPatch, writes: list[Any]
) -> None:
    monkeypatch.setattr(counts, "ROWS_KEPT", 0)
    Device.objects.all().delete()
    for write, number, kind in writes:
        write(number, kind)
        agree()


def test_the_counts_follow_a_sync_a_change_and_a_message(
    inventory: Cloud, operator: Client, settings: Settings
) -> None:
    settings.IOTDA_PUSH_SECRET = SECRET
    agree()
    assert count_statuses(None).total() == 60
    frozen, pushed, gone = inventory.free(3)
    form = change_form()
    assert operator.post(f"/devices/{frozen}/freeze/", form).status_code == 302
    assert Device.objects.get(pk=frozen).status == "FROZEN"
    agree()
    assert push(message(pushed, "OFFLINE", later(1)))[0] == 200
    assert Device.objects.get(pk=pushed).status == "OFFLINE"
    agree()
    inventory.call("DELETE", f"devices/{gone}")
    assert run_sync(SyncRun.objects.create(), client())
    assert count_statuses(None).total() == 59
    agree()


def test_a_sync_leaves_no_row_for_each_change(
    inventory: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also without a worker."""
    monkeypatch.setattr(counts, "ROWS_KEPT", 50)
    Device.objects.update(status="MELTED")
    call_command("sync")
    agree()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {COUNTS}")
        assert cursor.fetchone()[0] <= 50


@pytest.fixture
def wrong(db: None) -> None:
    insert_many(5, ("north", "GATEWAY", "ONLINE"))
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {COUNTS} SET number = number + 7, status = 'MELTED'")
    assert count_statuses(None) != expected()


def test_wrong_counts_are_corrected_and_logged(
    wrong: None, caplog: pytest.LogCaptureFixture
) -> None:
    repair_counts()
    agree()
    assert "2 counts of devices were wrong" in caplog.text
    caplog.clear()
    repair_counts()
    agree()
    assert not caplog.text


def test_migrate_makes_lost_triggers_again(db: None) -> None:
    with connection.cursor() as cursor:
        on = f" ON {counts.TABLE}" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER {COUNTS}_insert{on}")
    insert_many(5, ("north", "GATEWAY", "ONLINE"))
    assert count_statuses(None) != expected()
    install_counts()
    agree()
    insert_many(9, ("south", "GATEWAY", "FROZEN"))
    agree()


def test_migrate_counts_the_devices_of_a_database_without_counts(db: None) -> None:
    insert_many(5, ("north", "GATEWAY", "ONLINE"))
    with connection.cursor() as cursor:
        for event in ("insert", "delete", "update"):
            on = f" ON {counts.TABLE}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER {COUNTS}_{event}{on}")
        cursor.execute(f"DROP TABLE {COUNTS} CASCADE" if on else f"DROP TABLE {COUNTS}")
    install_counts()
    agree()


def repair_without_waiting() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA busy_timeout = 0")
    repair_counts()
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_right_counts_are_compared_while_another_process_writes() -> None:
    insert_many(4, ("north", "GATEWAY", "ONLINE"))
    with transaction.atomic(), ThreadPoolExecutor(1) as pool:
        Device.objects.filter(pk="d0").update(status="OFFLINE")
        pool.submit(repair_without_waiting).result(timeout=20)
    agree()


def disconnect(pk: str) -> None:
    """Change a device in a connection of this thread, without waiting for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '1s'")
    Device.objects.filter(pk=pk).update(status="OFFLINE")
    connection.close()


@pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="SQLite has one writer at a time"
)
@pytest.mark.django_db(transaction=True)
def test_writers_do_not_wait_for_each_other_to_count() -> None:
    insert_many(4, ("north", "GATEWAY", "ONLINE"))
    with transaction.atomic(), ThreadPoolExecutor(1) as pool:
        Device.objects.filter(pk="d0").update(status="OFFLINE")
        pool.submit(disconnect, "d1").result(timeout=20)
        sum_up_counts()
    agree()
