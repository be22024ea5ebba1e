"""How IoTDA answers, as real calls found it, on every page."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db import connection as database
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from iotda_admin.health import workers
from iotda_admin.inventory.models import SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.iotda import CallRecord, IotdaError
from iotda_admin.rate import connection
from iotda_admin.rate.models import PlatformState
from iotda_admin.rate.own_connection import NOW
from iotda_admin.rate.platform_state import STALE_SECONDS, observe_state
from tests.cloud import ROOT, Cloud
from tests.conftest import HTMX, signed_in
from tests.own_database import database_url

# The state is committed beside a page's own transaction.
pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = "IoTDA has refused our credentials since"
UNREACHED = "IoTDA has not been reachable since"
ERRORS = "IoTDA has answered with errors since"
SLOW = "IoTDA asks us to slow down"
PAGES = [
    "/",
    "/devices/",
    "/devices/{device}/",
    "/policies/",
    "/operations/",
    "/failures/",
    "/audit/",
    "/inventory/",
    "/accounts/password/",
    "/devices/no-such-device/",
]


@pytest.fixture
def viewer(inventory: Cloud) -> Client:
    return signed_in("viewer")


@pytest.fixture
def manager(inventory: Cloud) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("manager"))
    return client


def refuse(cloud: Cloud) -> None:
    cloud.fault(
        "ShowDevice",
        "status",
        status=401,
        error_code="IOTDA.000003",
        error_msg="Incorrect AK/SK.",
    )


def call(cloud: Cloud, times: int = 1) -> None:
    """Read a device, in vain if a fault is set."""
    for _ in range(times):
        with suppress(IotdaError):
            connection.client().show_device(cloud.known_ids["online"])


def pages(cloud: Cloud) -> list[str]:
    return [page.format(device=cloud.known_ids["online"]) for page in PAGES]


def warning(page: str) -> str:
    """Return the warning of a page, as a reader sees it."""
    _, found, rest = page.partition('id="platform-message">')
    text = rest.partition("</div>")[0].partition("<div>")[2]
    return " ".join(text.split()) if found else ""


def earlier(seconds: float) -> None:
    """Let this time pass since the last failure."""
    names = ("since", "failed_at", "paused_to")
    PlatformState.objects.update(**{name: F(name) - seconds for name in names})


def test_every_page_says_that_credentials_are_refused_until_they_are_accepted(
    inventory: Cloud, viewer: Client
) -> None:
    refuse(inventory)
    call(inventory)
    for page in pages(inventory):
        assert REFUSED in warning(viewer.get(page).text), page
    inventory.heal()
    call(inventory)
    for page in pages(inventory):
        assert warning(viewer.get(page).text) == "", page


def test_the_page_whose_call_is_refused_says_so_itself(
    inventory: Cloud, viewer: Client
) -> None:
    refuse(inventory)
    text = viewer.get(f"/devices/{inventory.known_ids['online']}/").text
    assert REFUSED in warning(text)


def test_a_support_agent_reads_whom_to_ask_and_a_manager_which_setting_to_change(
    inventory: Cloud, viewer: Client, manager: Client
) -> None:
    refuse(inventory)
    call(inventory)
    agent, other = warning(viewer.get("/").text), warning(manager.get("/").text)
    assert "Do not send changes now: they fail. Ask your administrator" in agent
    assert "AK" not in agent
    assert "AK or SK are wrong" in other
    assert "restart the web server and the workers" in other
    assert "Ask your administrator" not in other


def test_a_page_for_users_who_are_signed_out_says_nothing(
    inventory: Cloud, anonymous: Client
) -> None:
    refuse(inventory)
    call(inventory)
    for page in ("/accounts/login/", "/static/no-such-file"):
        text = anonymous.get(page).text
        assert "IoTDA has refused" not in text
        assert 'id="platform"' not in text


@pytest.mark.parametrize(
    ("fault", "args", "says"),
    [
        ("drop", {}, UNREACHED),
        ("reset", {}, UNREACHED),
        ("hang", {"seconds": 3}, UNREACHED),
        ("status", {"status": 502}, ERRORS),
        ("html", {}, ERRORS),
        ("status", {"status": 404, "error_code": "APIGW.0101"}, ERRORS),
    ],
)
def test_three_failed_calls_in_a_row_are_an_outage_and_one_answer_ends_it(
    inventory: Cloud, viewer: Client, fault: str, args: dict[str, Any], says: str
) -> None:
    inventory.fault("ShowDevice", fault, **args)
    call(inventory, 2)
    assert warning(viewer.get("/devices/").text) == ""
    call(inventory)
    text = warning(viewer.get("/devices/").text)
    assert says in text
    assert "Lists show the last sync." in text
    inventory.heal()
    call(inventory)
    assert warning(viewer.get("/devices/").text) == ""


def test_different_failures_in_a_row_are_one_outage(
    inventory: Cloud, viewer: Client
) -> None:
    inventory.fault("ShowDevice", "drop", match={"nth": [1, 3]})
    inventory.fault("ShowDevice", "html", match={"nth": 2})
    call(inventory)
    since = PlatformState.objects.get().since
    call(inventory, 2)
    assert UNREACHED in warning(viewer.get("/").text)
    assert PlatformState.objects.get().since == since


def test_failed_calls_among_others_show_nothing(
    inventory: Cloud, viewer: Client
) -> None:
    inventory.fault("ShowDevice", "drop", match={"nth": [1, 2, 4, 5, 7, 8]})
    for _ in range(9):
        call(inventory)
        assert warning(viewer.get("/").text) == ""


def test_an_answer_right_after_a_failure_restarts_the_count(
    inventory: Cloud, viewer: Client
) -> None:
    inventory.fault("ShowDevice", "drop", match={"nth": [2, 3, 5, 6]})
    call(inventory, 6)
    assert warning(viewer.get("/").text) == ""


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "IOTDA.014000"), (403, "IOTDA.000022"), (400, "IOTDA.000006")],
)
def test_a_refused_request_is_an_answer(
    inventory: Cloud, viewer: Client, status: int, code: str
) -> None:
    refuse(inventory)
    call(inventory)
    inventory.heal()
    inventory.fault("ShowDevice", "status", status=status, error_code=code)
    call(inventory)
    assert warning(viewer.get("/").text) == ""


def test_an_answer_to_a_call_from_before_the_failure_does_not_end_it(
    inventory: Cloud, viewer: Client
) -> None:
    refuse(inventory)
    call(inventory)
    observe_state(CallRecord("ShowDevice", 200, seconds=5.0))
    assert REFUSED in warning(viewer.get("/").text)
    earlier(6)
    observe_state(CallRecord("ShowDevice", 200, seconds=5.0))
    assert warning(viewer.get("/").text) == ""


def test_every_page_says_until_when_iotda_throttles(
    inventory: Cloud, viewer: Client, manager: Client
) -> None:
    inventory.fault("ShowDevice", "throttle", retry_after=40)
    call(inventory)
    for page in pages(inventory):
        text = warning(viewer.get(page).text)
        assert f"{SLOW} until <time" in text, page
        assert "You need not do anything" in text
    assert "You need not do anything" in warning(manager.get("/").text)
    inventory.heal()
    earlier(41)
    for page in pages(inventory):
        assert warning(viewer.get(page).text) == "", page


def test_one_short_pause_shows_nothing_and_three_in_a_row_are_shown(
    inventory: Cloud, viewer: Client
) -> None:
    inventory.fault("ShowDevice", "throttle", retry_after=1)
    call(inventory, 2)
    assert warning(viewer.get("/").text) == ""
    call(inventory)
    assert SLOW in warning(viewer.get("/").text)
    earlier(10)
    assert f"{SLOW}." in warning(viewer.get("/").text)
    earlier(10)
    assert warning(viewer.get("/").text) == ""


def test_a_call_that_our_own_limit_holds_back_is_no_state(
    inventory: Cloud, viewer: Client, settings: Settings
) -> None:
    refuse(inventory)
    call(inventory)
    settings.IOTDA_RATE, settings.IOTDA_BURST, settings.IOTDA_DEADLINE = 0.1, 1, 0.1
    call(inventory, 3)
    assert REFUSED in warning(viewer.get("/").text)
    assert PlatformState.objects.get().failures == 1


def test_a_state_that_no_call_confirms_for_long_is_not_claimed(
    inventory: Cloud, viewer: Client
) -> None:
    workers.record_heartbeat()
    inventory.fault("ShowDevice", "drop")
    call(inventory, 3)
    earlier(STALE_SECONDS + 1)
    text = viewer.get("/").text
    assert warning(text) == ""
    card = text.partition('id="platform-card"')[2].partition("</section>")[0]
    assert "Last call failed" in card
    assert ": Not reachable" in card
    assert "Answered the last call" not in card
    assert viewer.get("/readyz").json()["checks"]["platform"] == "ok"


def test_a_failure_after_a_long_silence_begins_again(
    inventory: Cloud, viewer: Client
) -> None:
    inventory.fault("ShowDevice", "drop")
    call(inventory, 2)
    earlier(STALE_SECONDS + 1)
    call(inventory)
    assert warning(viewer.get("/").text) == ""


def test_the_overview_readiness_and_metrics_use_the_same_state(
    inventory: Cloud, viewer: Client, settings: Settings
) -> None:
    workers.record_heartbeat()
    settings.METRICS_TOKEN = "t"

    def seen() -> tuple[str, str, list[str]]:
        card = viewer.get("/").text.partition('id="platform-card"')[2]
        checks = viewer.get("/readyz").json()["checks"]
        text = viewer.get("/metrics", headers={"Authorization": "Bearer t"}).text
        states = [
            line.partition('"')[2].partition('"')[0]
            for line in text.splitlines()
            if line.startswith("iotda_admin_platform{") and line.endswith(" 1.0")
        ]
        badge = card.partition("</svg>")[2].partition("</span>")[0].strip()
        return badge, checks["platform"], states

    assert seen() == ("Answered the last call", "ok", ["answering"])
    refuse(inventory)
    call(inventory)
    assert seen() == ("Credentials refused", "failed", ["refused"])
    assert viewer.get("/readyz").status_code == 200
    inventory.heal()
    inventory.fault("ShowDevice", "throttle", retry_after=40)
    call(inventory)
    assert seen() == ("Throttled", "ok", ["throttled"])
    inventory.heal()
    inventory.fault("ShowDevice", "drop")
    call(inventory, 3)
    assert seen() == ("Not reachable", "failed", ["unreachable"])


def test_a_sync_whose_credentials_are_refused_warns_on_every_page(
    inventory: Cloud, manager: Client
) -> None:
    calls = ["ShowApplications", "ListProducts", "ListDevices", "ListDevicePolicies"]
    inventory.fault(
        [*calls, "ShowTargetsInDevicePolicy"],
        "status",
        status=401,
        error_code="IOTDA.000003",
    )
    assert not run_sync(SyncRun.objects.create(), connection.client())
    assert "AK or SK are wrong" in warning(manager.get("/operations/").text)


OTHER_PROCESS = """
import sys
import django
django.setup()
from iotda_admin.iotda import IotdaError
from iotda_admin.rate.connection import client
for _ in range(int(sys.argv[1])):
    try:
        client().show_device(sys.argv[2])
        print("ok")
    except IotdaError as error:
        print(type(error).__name__)
"""


@pytest.fixture
def process(inventory: Cloud) -> Callable[..., list[str]]:
    """Return a function that makes calls in another process, with other settings."""
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": database_url(),
        "IOTDA_ENDPOINT": inventory.api,
    }

    def run(calls: int, **changed: str) -> list[str]:
        device = str(inventory.known_ids["online"])
        found = subprocess.run(
            [sys.executable, "-c", OTHER_PROCESS, str(calls), device],
            cwd=ROOT,
            env=env | changed,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=True,
        )
        return found.stdout.split()

    return run


def test_processes_share_the_state(
    inventory: Cloud, viewer: Client, process: Callable[..., list[str]]
) -> None:
    call(inventory)
    assert process(1, IOTDA_SK="wrong") == ["Unauthorized"]
    assert REFUSED in warning(viewer.get("/").text)
    assert process(1) == ["ok"]
    assert warning(viewer.get("/").text) == ""


def test_failures_are_counted_over_all_processes(
    inventory: Cloud, viewer: Client, process: Callable[..., list[str]]
) -> None:
    inventory.fault("ShowDevice", "drop")
    call(inventory)
    assert process(2) == ["Unreachable"] * 2
    assert UNREACHED in warning(viewer.get("/").text)
    inventory.heal()
    call(inventory)
    assert warning(viewer.get("/").text) == ""


@contextmanager
def locked() -> Iterator[None]:
    """Hold what another writer would hold: SQLite's write lock, or PostgreSQL's row."""
    other = connections.create_connection(DEFAULT_DB_ALIAS)
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE" if other.vendor == "sqlite" else "BEGIN")
            cursor.execute("UPDATE rate_platformstate SET failures = failures")
            yield
            cursor.execute("ROLLBACK")
    finally:
        other.close()


def test_no_page_waits_or_fails_while_another_process_writes(
    inventory: Cloud, viewer: Client
) -> None:
    refuse(inventory)
    call(inventory)
    inventory.heal()
    page = f"/devices/{inventory.known_ids['online']}/"
    viewer.get(page)
    with locked():
        started = time.monotonic()
        observe_state(CallRecord("ShowDevice", 200, seconds=0.0))
        observe_state(
            CallRecord("ShowDevice", 401, 0.0, IotdaError(code="IOTDA.000021"))
        )
        assert time.monotonic() - started < 0.5
        assert viewer.get("/devices/").status_code == 200
    refuse(inventory)
    call(inventory)
    assert REFUSED in warning(viewer.get(page).text)


def test_a_call_inside_a_transaction_does_not_wait_for_itself(
    inventory: Cloud, viewer: Client
) -> None:
    refuse(inventory)
    with transaction.atomic():
        SyncRun.objects.create()
        started = time.monotonic()
        call(inventory)
        assert time.monotonic() - started < 1
    call(inventory)
    assert REFUSED in warning(viewer.get("/").text)


def test_a_page_is_shown_if_the_state_cannot_be_read(
    inventory: Cloud, viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NOW, database.vendor, "no_such_clock()")
    assert viewer.get("/devices/").status_code == 200
    assert viewer.get("/platform/", headers=HTMX).status_code == 204
    call(inventory)


def test_a_page_reads_the_state_with_one_query(
    inventory: Cloud, viewer: Client
) -> None:
    refuse(inventory)
    call(inventory)
    with CaptureQueriesContext(database) as queries:
        assert REFUSED in warning(viewer.get("/").text)
    assert sum("rate_platformstate" in query["sql"] for query in queries) == 1


def test_an_open_page_is_updated_once_for_each_change(
    inventory: Cloud, viewer: Client
) -> None:
    def poll(shown: str) -> tuple[int, str, str]:
        response = viewer.get("/platform/", {"shown": shown}, headers=HTMX)
        value = response.text.partition('name="shown" value="')[2].partition('"')[0]
        return response.status_code, warning(response.text), value

    assert poll("") == (204, "", "")
    refuse(inventory)
    call(inventory)
    status, text, shown = poll("")
    assert status == 200
    assert REFUSED in text
    assert poll(shown) == (204, "", "")
    inventory.heal()
    call(inventory)
    status, text, over = poll(shown)
    assert "IoTDA answers again." in text
    assert poll(over) == (204, "", "")


def test_a_poll_after_the_end_of_the_session_leaves_the_page_as_it_is(
    anonymous: Client,
) -> None:
    response = anonymous.get("/platform/", headers=HTMX)
    assert (response.status_code, response.content) == (286, b"")
    assert response.headers["HX-Reswap"] == "none"
