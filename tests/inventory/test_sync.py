from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from devices.models import Device, Product, Space
from devices.search_index import INDEX
from devices.sync import Devices, device_row, read_device
from iotda_admin.inventory import sync
from iotda_admin.inventory.models import MirrorState, SyncRun
from iotda_admin.rate import connection
from policies.models import Binding, Policy
from policies.sync import Bindings
from tests.cloud import Cloud


def sync_again() -> Any:
    return sync.run_sync(SyncRun.objects.create(), connection.client())


def test_a_sync_stores_every_device(inventory: Cloud) -> None:
    assert Device.objects.count() == 60
    frozen = Device.objects.get(pk=inventory.known_ids["frozen"])
    assert frozen.status == "FROZEN"
    assert frozen.direct
    assert not Device.objects.get(pk=inventory.known_ids["child"]).direct


def test_a_sync_stores_spaces_products_and_policies_with_statements(
    inventory: Cloud,
) -> None:
    assert inventory.known_ids["space"] in Space.objects.values_list("pk", flat=True)
    assert inventory.known_ids["product"] in Product.objects.values_list(
        "pk", flat=True
    )
    policy = Policy.objects.get(pk=inventory.known_ids["policy"])
    assert policy.statements
    assert policy.statements[0]["effect"] == "DENY"


def test_a_sync_stores_every_binding(inventory: Cloud) -> None:
    ours = set(Binding.objects.values_list("policy_id", "target_type", "target_id"))
    theirs = inventory.call("GET", "bindings")["bindings"]
    assert ours == {
        (row["policy_id"], row["target_type"], row["target_id"]) for row in theirs
    }


def test_a_sync_deletes_deleted_devices(inventory: Cloud) -> None:
    device = inventory.free(1)[0]
    inventory.call("DELETE", f"devices/{device}")
    assert sync_again()
    assert not Device.objects.filter(pk=device).exists()
    assert Device.objects.count() == 59


def test_a_sync_updates_changed_devices(inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    inventory.call(
        "PATCH",
        f"devices/{device}",
        json={"status": "FROZEN", "device_name": "renamed"},
    )
    assert sync_again()
    row = Device.objects.get(pk=device)
    assert (row.status, row.name) == ("FROZEN", "renamed")


def test_a_failed_sync_keeps_the_rows_and_records_the_error(inventory: Cloud) -> None:
    inventory.fault(
        "ListDevices",
        "status",
        status=403,
        error_code="IOTDA.000022",
        error_msg="no permission",
    )
    assert not sync_again()
    run = SyncRun.objects.first()
    assert run.state == "failed"
    assert "no permission" in run.error
    assert Device.objects.count() == 60


def test_a_throttled_sync_waits(inventory: Cloud) -> None:
    inventory.fault("ListDevices", "throttle", match={"times": 1}, retry_after=0)
    assert sync_again()


def test_a_sync_does_not_overwrite_newer_rows(inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    long_ago = timezone.now() - timedelta(seconds=5)
    inventory.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    read_device(connection.client(), device)
    older = Device(
        device_id=device,
        node_id="n",
        status="ONLINE",
        node_type="GATEWAY",
        read_at=long_ago,
    )
    Devices().store([older])
    assert Device.objects.get(pk=device).status == "FROZEN"


def test_an_unchanged_row_is_known_from_its_newest_read(inventory: Cloud) -> None:
    now = timezone.now()
    older, newer = now - timedelta(seconds=1), now + timedelta(seconds=1)
    first, second = Device.objects.all()[:2]
    Devices().store([read_again(first, newer), read_again(second, now)])
    # Neither an equal nor another value of an earlier read counts.
    Devices().store([read_again(first, now), read_again(second, older)])
    Devices().store([read_again(first, now, "X"), read_again(second, older, "X")])
    stored = Device.objects.in_bulk([first.pk, second.pk])
    assert stored[first.pk].read_at == newer
    assert stored[second.pk].read_at == now
    assert stored[first.pk].status == first.status
    assert stored[second.pk].status == second.status
    # The row of a later read does.
    Devices().store([read_again(second, newer, "X")])
    assert Device.objects.get(pk=second.pk).status == "X"


def read_again(row: Device, read_at: datetime, status: str = "") -> Any:
    """Return a row as a listing yields it."""
    values = (getattr(row, name) for name in Devices.names)
    found = Devices.row(*values, read_at)
    return found._replace(status=status or row.status)


def test_an_earlier_read_stores_no_row_that_an_operation_removed_meanwhile(
    inventory: Cloud,
) -> None:
    row, binding = Device.objects.first(), Binding.objects.first()
    row.read_at = binding.read_at = timezone.now()
    Devices().remove([(row.pk,)])
    Bindings().remove([Bindings().key_of(binding)])
    Devices().store([row])
    binding.pk = None
    Bindings().store([binding])
    assert not Device.objects.filter(pk=row.pk).exists()
    assert not Binding.objects.filter(
        policy=binding.policy_id, target_id=binding.target_id
    ).exists()
    # IoTDA has it again.
    row.read_at = timezone.now()
    Devices().store([row])
    assert Device.objects.filter(pk=row.pk).exists()


def test_only_one_sync_runs_at_a_time(inventory: Cloud) -> None:
    SyncRun.objects.create(
        state="running", started_at=timezone.now(), alive_at=timezone.now()
    )
    assert not sync_again()


def test_a_sync_without_a_heartbeat_is_given_up(inventory: Cloud) -> None:
    long_ago = timezone.now() - timedelta(seconds=sync.SILENCE_SECONDS + 1)
    run = SyncRun.objects.create(
        state="running", started_at=long_ago, alive_at=long_ago
    )
    sync.fail_silent_runs()
    run.refresh_from_db()
    assert run.state == "failed"
    assert sync_again()


def test_a_sync_is_due_only_if_the_last_one_is_old(inventory: Cloud) -> None:
    assert sync.seconds_until_sync() > 0
    SyncRun.objects.update(
        finished_at=timezone.now() - timedelta(seconds=settings.INVENTORY_REFRESH + 1)
    )
    assert sync.seconds_until_sync() == 0


def test_a_requested_sync_runs(cloud: Cloud, db: None) -> None:
    sync.request_sync()
    sync.sync_if_due()
    assert SyncRun.objects.first().state == "done"


def test_two_requests_are_one_sync(inventory: Cloud) -> None:
    assert sync.request_sync() == sync.request_sync()


def test_the_command_prints_the_number_of_rows(
    inventory: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("sync")
    assert "rows synced" in capsys.readouterr().out


def test_the_command_fails_with_the_error(inventory: Cloud) -> None:
    inventory.fault(
        "ShowApplications",
        "status",
        status=403,
        error_code="IOTDA.000022",
        error_msg="no",
    )
    with pytest.raises(CommandError, match="no"):
        call_command("sync")


def secrets_of(device: Any) -> list[Any]:
    """Return the credentials in IoTDA's response, which our client drops."""
    address = (
        f"{settings.IOTDA_ENDPOINT}/v5/iot/{settings.IOTDA_PROJECT_ID}/devices/{device}"
    )
    known = requests.get(address, auth=connection.credentials(), timeout=5).json()[
        "auth_info"
    ]
    return [
        known[name]
        for name in ("secret", "secondary_secret", "fingerprint")
        if known.get(name)
    ]


def whole_database() -> Iterator[str]:
    with database.cursor() as cursor:
        tables = database.introspection.table_names(cursor)
        # The search index has no rows of its own: its text is in other tables.
        for table in {*tables} - {INDEX}:
            cursor.execute(f'select * from "{table}"')
            yield str(cursor.fetchall())


def test_no_secret_of_a_device_reaches_a_page_or_the_database(
    operator: Client, inventory: Cloud
) -> None:
    device = inventory.known_ids["online"]
    secrets = secrets_of(device)
    page = operator.get(f"/devices/{device}/").text
    stored = "".join(whole_database())
    assert secrets
    assert device in stored
    assert [secret for secret in secrets if secret in page or secret in stored] == []


def test_a_list_that_ends_too_early_deletes_nothing(inventory: Cloud) -> None:
    page = {"devices": [], "page": {"count": 0, "marker": ""}}
    inventory.fault("ListDevices", "status", status=200, body=page)
    assert sync_again()
    assert Device.objects.count() == 60
    # It asked for the devices, and deletes none of those that it did not ask for.
    assert {entry["operation"] for entry in inventory.journal("ShowDevice")}


def test_a_device_is_deleted_although_the_count_is_always_too_high(
    inventory: Cloud,
) -> None:
    device = inventory.free(1)[0]
    inventory.call("DELETE", f"devices/{device}")
    inventory.switch(count_error=1)
    assert sync_again()
    assert Device.objects.count() == 59


def test_syncs_complete_while_devices_are_replaced(inventory: Cloud) -> None:
    inventory.reset(devices=200)
    inventory.fault("ListDevices", "list_mutates")
    assert [sync_again() for _ in range(10)] == [True] * 10
    inventory.heal()
    assert sync_again()
    assert Device.objects.count() == 200


def test_a_failed_listing_does_not_keep_the_others_from_their_sync(
    inventory: Cloud,
) -> None:
    inventory.fault(
        "ListDevices",
        "status",
        status=403,
        error_code="IOTDA.000022",
        error_msg="no permission",
    )
    policy = inventory.known_ids["policy"]
    inventory.call("DELETE", f"policies/{policy}")
    before = MirrorState.objects.get(table="devices_device").fresh_at
    assert not sync_again()
    assert not Policy.objects.filter(pk=policy).exists()
    assert SyncRun.objects.first().error.startswith("Devices: ")
    states = MirrorState.objects.in_bulk()
    assert states["devices_device"].fresh_at == before
    assert "no permission" in states["devices_device"].error
    assert states["policies_binding"].fresh_at > before


def test_a_value_that_is_too_long_does_not_stop_a_sync(inventory: Cloud) -> None:
    """PostgreSQL rejects a value longer than its column; SQLite stores it."""
    device = connection.client().show_device(inventory.known_ids["online"])
    long = replace(
        device, status="S" * 40, device_name="n" * 400, description="d" * 3000
    )
    read_at = timezone.now()
    for _time in range(2):
        Devices().store([device_row(long, read_at)])
    row = Device.objects.get(pk=device.device_id)
    assert (len(row.status), len(row.name), len(row.description)) == (16, 256, 2048)


def test_the_pages_explain_refused_credentials(
    inventory: Cloud, viewer: Client
) -> None:
    inventory.fault(
        ["ShowApplications", "ListProducts", "ListDevices", "ListDevicePolicies"],
        "status",
        status=401,
        error_code="IOTDA.000003",
        error_msg="Incorrect AK/SK.",
    )
    assert not sync_again()
    overview = viewer.get("/").text
    assert "The last sync failed" in overview
    assert "Not answering" not in overview
    for page in (overview, viewer.get("/devices/").text):
        assert "AK or SK are wrong" in page
        assert "IoTDA: “Incorrect AK/SK.”" in page


def test_the_overview_shows_the_time_of_the_last_sync_once(
    inventory: Cloud, viewer: Client
) -> None:
    card = (
        viewer.get("/")
        .text.partition('id="platform-card"')[2]
        .partition("</section>")[0]
    )
    assert "Answered the last call" in card
    assert card.count("<time") == 1
