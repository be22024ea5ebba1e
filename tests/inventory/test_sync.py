from dataclasses import replace
from datetime import timedelta

import pytest
import requests
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.utils import timezone

from devices.models import Device, Product, Space
from devices.sync import Devices, store_device
from iotda_admin.inventory import sync
from iotda_admin.inventory.models import SyncRun
from iotda_admin.rate import connection
from policies.models import Binding, Policy


def read_again():
    return sync.run_sync(SyncRun.objects.create(), connection.client())


def test_it_reads_every_device_as_the_platform_has_it(inventory):
    assert Device.objects.count() == 60
    frozen = Device.objects.get(pk=inventory.known_ids["frozen"])
    assert frozen.status == "FROZEN"
    assert frozen.direct
    assert not Device.objects.get(pk=inventory.known_ids["child"]).direct


def test_it_reads_spaces_products_and_policies_with_their_statements(inventory):
    assert inventory.known_ids["space"] in Space.objects.values_list("pk", flat=True)
    assert inventory.known_ids["product"] in Product.objects.values_list(
        "pk", flat=True
    )
    policy = Policy.objects.get(pk=inventory.known_ids["policy"])
    assert policy.statements
    assert policy.statements[0]["effect"] == "DENY"


def test_it_reads_every_binding(inventory):
    ours = set(Binding.objects.values_list("policy_id", "target_type", "target_id"))
    theirs = inventory.call("GET", "bindings")["bindings"]
    assert ours == {
        (row["policy_id"], row["target_type"], row["target_id"]) for row in theirs
    }


def test_what_is_gone_there_goes_here(inventory):
    device = inventory.free(1)[0]
    inventory.call("DELETE", f"devices/{device}")
    assert read_again()
    assert not Device.objects.filter(pk=device).exists()
    assert Device.objects.count() == 59


def test_what_changed_there_changes_here(inventory):
    device = inventory.known_ids["online"]
    inventory.call(
        "PATCH",
        f"devices/{device}",
        json={"status": "FROZEN", "device_name": "renamed"},
    )
    assert read_again()
    row = Device.objects.get(pk=device)
    assert (row.status, row.name) == ("FROZEN", "renamed")


def test_a_failed_reading_keeps_what_was_read_and_says_why(inventory):
    inventory.fault(
        "ListDevices",
        "status",
        status=403,
        error_code="IOTDA.000022",
        error_msg="no permission",
    )
    assert not read_again()
    run = SyncRun.objects.first()
    assert run.state == "failed"
    assert "no permission" in run.error
    assert Device.objects.count() == 60


def test_it_waits_when_the_platform_asks_to(inventory):
    inventory.fault("ListDevices", "throttle", match={"times": 1}, retry_after=0)
    assert read_again()


def test_it_leaves_alone_what_was_read_since_it_began(inventory):
    device = inventory.known_ids["online"]
    started = timezone.now() - timedelta(seconds=5)
    inventory.call("PATCH", f"devices/{device}", json={"status": "FROZEN"})
    store_device(connection.client().show_device(device))
    Devices().save(
        [Device(device_id=device, node_id="n", status="ONLINE", node_type="GATEWAY")],
        started,
    )
    assert Device.objects.get(pk=device).status == "FROZEN"


def test_only_one_reading_runs_at_a_time(inventory):
    SyncRun.objects.create(
        state="running", started_at=timezone.now(), alive_at=timezone.now()
    )
    assert not read_again()


def test_a_reading_whose_worker_died_is_given_up(inventory):
    long_ago = timezone.now() - timedelta(seconds=sync.SILENCE_SECONDS + 1)
    run = SyncRun.objects.create(
        state="running", started_at=long_ago, alive_at=long_ago
    )
    sync.fail_silent_runs()
    run.refresh_from_db()
    assert run.state == "failed"
    assert read_again()


def test_it_is_due_only_when_the_last_one_is_old(inventory):
    assert not sync.is_due()
    SyncRun.objects.update(
        finished_at=timezone.now() - timedelta(seconds=settings.INVENTORY_REFRESH + 1)
    )
    assert sync.is_due()


def test_what_was_asked_for_is_read(inventory):
    sync.request_sync()
    sync.sync_if_due()
    assert SyncRun.objects.first().state == "done"


def test_asking_twice_is_one_reading(inventory):
    assert sync.request_sync() == sync.request_sync()


def test_the_command_says_how_much_it_read(inventory, capsys):
    call_command("sync")
    assert "rows synced" in capsys.readouterr().out


def test_the_command_fails_loudly(inventory):
    inventory.fault(
        "ShowApplications",
        "status",
        status=403,
        error_code="IOTDA.000022",
        error_msg="no",
    )
    with pytest.raises(CommandError, match="no"):
        call_command("sync")


def secrets_of(device):
    """The credentials in the platform's own answer, past our client, which drops them."""
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


def whole_database():
    with database.cursor() as cursor:
        for table in database.introspection.table_names(cursor):
            cursor.execute(f'select * from "{table}"')
            yield str(cursor.fetchall())


def test_no_secret_of_a_device_reaches_a_page_or_the_database(operator, inventory):
    device = inventory.known_ids["online"]
    secrets = secrets_of(device)
    page = operator.get(f"/devices/{device}/").text
    stored = "".join(whole_database())
    assert secrets
    assert device in stored
    assert [secret for secret in secrets if secret in page or secret in stored] == []


def test_a_list_that_ends_too_early_takes_nothing_away(inventory):
    page = {
        "devices": [{"device_id": "d1", "status": "ONLINE"}],
        "page": {"count": 1000, "marker": "f" * 24},
    }
    inventory.fault("ListDevices", "status", status=200, body=page)
    assert not read_again()
    assert "ended after 1 rows of 1000" in SyncRun.objects.first().error
    assert Device.objects.count() >= 60


def test_a_value_longer_than_it_may_be_does_not_stop_a_reading(inventory):
    """PostgreSQL refuses what is longer than its column; SQLite would take it."""
    device = connection.client().show_device(inventory.known_ids["online"])
    store_device(
        replace(device, status="S" * 40, device_name="n" * 400, description="d" * 3000)
    )
    row = Device.objects.get(pk=device.device_id)
    assert (len(row.status), len(row.name), len(row.description)) == (16, 256, 2048)
