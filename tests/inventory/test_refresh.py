"""The button that syncs the inventory, and the line that shows its age."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from iotda_admin.access.models import Grant
from iotda_admin.inventory import sync
from iotda_admin.inventory.models import MirrorState, SyncRun
from tests.cloud import Cloud
from tests.conftest import HTMX


def end_rest(seconds: float = 5) -> None:
    """Move the last sync so far into the past that a requested one starts."""
    run = SyncRun.objects.exclude(finished_at=None).get()
    run.started_at -= timedelta(seconds=seconds)
    run.finished_at -= timedelta(seconds=seconds)
    run.save()


def test_every_signed_in_user_may_request_a_sync(viewer: Client) -> None:
    response = viewer.post("/inventory/refresh/", {"next": "/devices/?status=FROZEN"})
    assert response["Location"] == "/devices/?status=FROZEN"
    assert SyncRun.objects.get().state == "asked"


def test_the_line_polls_until_the_sync_ends(viewer: Client, inventory: Cloud) -> None:
    response = viewer.post("/inventory/refresh/", headers=HTMX)
    assert 'hx-trigger="load delay:1s"' in response.text
    assert "<html" not in response.text
    end_rest()
    sync.sync_if_due()
    response = viewer.get("/inventory/", headers=HTMX)
    assert "hx-trigger" not in response.text
    assert "inventory:synced" in response.headers["HX-Trigger"]


def test_a_requested_sync_waits_as_long_as_the_last_one_took(
    viewer: Client, inventory: Cloud
) -> None:
    now = timezone.now()
    SyncRun.objects.update(started_at=now - timedelta(seconds=100), finished_at=now)
    response = viewer.post("/inventory/refresh/", headers=HTMX)
    assert re.search(r"The next sync starts in \d+ s", response.text)
    sync.sync_if_due()
    assert SyncRun.objects.first().state == "asked"
    end_rest(100)
    sync.sync_if_due()
    assert SyncRun.objects.first().state == "done"


def test_a_request_does_not_delay_a_sync_that_is_due(
    viewer: Client, inventory: Cloud
) -> None:
    run = SyncRun.objects.get()
    run.state, run.started_at = "failed", run.finished_at - timedelta(seconds=200)
    run.save()
    end_rest(sync.RETRY_SECONDS + 1)
    viewer.post("/inventory/refresh/")
    sync.sync_if_due()
    assert SyncRun.objects.first().state == "done"


@pytest.mark.parametrize(
    ("took", "ago", "rest"),
    [
        (0.1, 0, 5),
        (20, 5, 15),
        (20, 20, 0),
        # A failed sync is repeated after 30 s, requested or not.
        (7200, 0, 30),
        # The clock was set back since.
        (60, -3600, 0),
        (-3600, 0, 5),
    ],
)
def test_the_rest_has_bounds_and_needs_no_right_clock(
    took: float,
    ago: float,
    rest: int,
    db: None,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.INVENTORY_REFRESH = 300
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    end = now - timedelta(seconds=ago)
    SyncRun.objects.create(
        state="failed", started_at=end - timedelta(seconds=took), finished_at=end
    )
    assert sync.seconds_until_sync(requested=True) == rest


def test_repeated_requests_are_one_sync(viewer: Client) -> None:
    for _ in range(3):
        viewer.post("/inventory/refresh/")
    assert SyncRun.objects.count() == 1


@pytest.mark.parametrize(
    "back_to",
    [
        "https://evil.example/",
        "//evil.example",
        "javascript:alert(1)",
        "/\\evil",
        "nowhere",
        "devices",
        "",
    ],
)
def test_it_redirects_to_no_other_site(viewer: Client, back_to: str) -> None:
    response = viewer.post("/inventory/refresh/", {"next": back_to})
    assert response.status_code == 302
    assert response["Location"] == "/" or (
        response["Location"] == back_to and "evil" not in back_to and ":" not in back_to
    )


def test_it_needs_a_login(anonymous: Client) -> None:
    assert anonymous.post("/inventory/refresh/")["Location"].startswith(
        "/accounts/login/"
    )
    assert not SyncRun.objects.exists()


def test_it_rejects_a_forged_form(viewer: Client) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = viewer.cookies
    assert client.post("/inventory/refresh/").status_code == 403
    assert not SyncRun.objects.exists()


def test_the_number_of_rows_is_shown_only_to_users_with_every_space(
    viewer: Client,
) -> None:
    run = SyncRun.objects.create(state="running", rows=1)
    assert "1 row so far" in viewer.get("/inventory/").text
    run.rows = 41234
    run.save()
    assert "41,234 rows so far" in viewer.get("/inventory/").text
    Grant.objects.filter(user__username="viewer").update(app_id="one-space")
    text = viewer.get("/inventory/").text
    assert ("Syncing with IoTDA" in text, "41,234" in text) == (True, False)


def test_the_error_of_the_last_sync_is_escaped(
    viewer: Client, inventory: Cloud
) -> None:
    SyncRun.objects.create(
        state="failed", finished_at="2026-01-01T00:00Z", error="<script>no</script>"
    )
    text = viewer.get("/inventory/").text
    assert "The last sync failed: &lt;script&gt;no" in text
    assert "Inventory synced just now" in text


def test_the_line_says_which_part_was_not_synced_and_how_old_it_is(
    viewer: Client, inventory: Cloud
) -> None:
    SyncRun.objects.create(state="failed", finished_at=timezone.now(), error="x")
    MirrorState.objects.filter(table__in=["devices_device", "devices_product"]).update(
        fresh_at=timezone.now() - timedelta(hours=3), error="IoTDA refused it."
    )
    text = viewer.get("/inventory/").text
    assert "Products, Devices: not synced, 3\xa0hours old. IoTDA refused it." in text
    assert "Inventory synced just now" in text
