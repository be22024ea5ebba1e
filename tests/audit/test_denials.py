"""Many denied requests of one user become one event."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from devices.models import Device
from iotda_admin.access.actor import Actor
from iotda_admin.audit.denials import OWN_EVENTS, record_counted_denials
from iotda_admin.audit.models import DenialCount, Event
from iotda_admin.audit.record import record_event
from iotda_admin.audit.verify import verify_database
from iotda_admin.operations.services import NotAllowed
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import change_form, create

pytestmark = pytest.mark.django_db


def deny(viewer: Client, times: int, device: str = "d-1") -> None:
    for _ in range(times):
        assert viewer.post(f"/devices/{device}/freeze/").status_code == 403


def move_clock(minutes: float) -> None:
    """Let the minute of each user have begun so much earlier."""
    for row in DenialCount.objects.all():
        row.since -= timedelta(minutes=minutes)
        row.save()


def denials() -> list[Event]:
    return list(Event.objects.filter(kind="denied").order_by("pk"))


def test_a_loop_of_denied_requests_becomes_one_event(
    viewer: Client, auditor: Client
) -> None:
    deny(viewer, OWN_EVENTS + 30)
    deny(viewer, 1, "d-2")
    assert len(denials()) == OWN_EVENTS
    # The minute has not ended yet.
    record_counted_denials()
    assert len(denials()) == OWN_EVENTS
    move_clock(1.1)
    record_counted_denials()
    event = denials()[OWN_EVENTS]
    assert event.summary == "31 more denied requests: POST /devices/d-1/freeze/"
    assert (event.actor_name, event.outcome, event.source) == (
        "viewer",
        "denied",
        "web",
    )
    assert event.detail["count"] == 31
    paths = [f"POST /devices/d-{n}/freeze/" for n in (1, 2)]
    assert (event.detail["requests"], event.detail["target_count"]) == (paths, 31)
    # It is appended once.
    record_counted_denials()
    assert len(denials()) == OWN_EVENTS + 1
    # A search for a device that only a counted request named finds the event.
    page = auditor.get("/audit/", {"target": "d-2"}).text
    assert "31 more denied requests" in page
    assert verify_database()[1] == []


def test_without_a_worker_the_next_denied_request_ends_the_minute(
    viewer: Client,
) -> None:
    deny(viewer, OWN_EVENTS + 2)
    move_clock(1.1)
    deny(viewer, 1)
    assert [event.detail.get("count") for event in denials()] == [
        *[None] * OWN_EVENTS,
        2,
        None,
    ]


def test_the_requests_of_another_user_have_events_of_their_own(
    viewer: Client, auditor: Client
) -> None:
    deny(viewer, OWN_EVENTS + 1)
    deny(auditor, 1)
    assert denials()[-1].actor_name == "auditor"


def test_a_clock_that_was_set_back_ends_the_minute(viewer: Client) -> None:
    deny(viewer, OWN_EVENTS + 1)
    move_clock(-60)
    deny(viewer, 1)
    assert len(denials()) == OWN_EVENTS + 2


def test_denied_changes_are_counted_with_denied_pages(cloud: Cloud) -> None:
    operator = Client()
    operator.force_login(make_user("operator", "one-space"))
    for _ in range(OWN_EVENTS):
        assert operator.get("/devices/elsewhere/").status_code == 404
    # The entry point of all changes denies this one, not the page.
    form = change_form(target=["elsewhere"])
    assert operator.post("/devices/selection.freeze/", form).status_code == 403
    assert (len(denials()), DenialCount.objects.get().requests) == (
        OWN_EVENTS,
        OWN_EVENTS + 1,
    )


def test_requests_about_two_spaces_are_shown_to_readers_of_both() -> None:
    for n in range(OWN_EVENTS):
        record_event("denied", summary=f"own {n}", space="one")
    record_event("denied", summary="a\0", space="one", targets=[("\0x",)])
    assert DenialCount.objects.get().columns["space"] == "one"
    record_event("denied", summary="b", space="two")
    move_clock(1.1)
    record_counted_denials()
    event = denials()[-1]
    assert (event.space, event.detail["requests"]) == ("*", ["a", "b"])


def test_the_event_names_each_address_verb_and_ticket(
    viewer: Client, inventory: Cloud
) -> None:
    for address in ("10.0.0.1", "6.6.6.6", "10.0.0.1"):
        viewer.defaults["REMOTE_ADDR"] = address
        deny(viewer, OWN_EVENTS)
    operator = make_user("operator", "one-space")
    record_event("denied", actor=operator, summary="own", address="::1")
    DenialCount.objects.filter(actor_id=operator.pk).update(requests=OWN_EVENTS)
    ids = list(Device.objects.values_list("pk", flat=True)[:30])
    with pytest.raises(NotAllowed):
        create("device.freeze", ids, Actor(operator, "", "cli"), ticket="INC-7")
    move_clock(1.1)
    record_counted_denials()
    web, cli = (event.detail for event in denials()[-2:])
    assert web["addresses"] == ["6.6.6.6", "10.0.0.1"]
    assert (cli["addresses"], cli["target_count"]) == (["cli"], 30)
    assert cli["requests"][0].startswith("device.freeze device INC-7 ")


def test_the_number_of_named_requests_is_limited(viewer: Client) -> None:
    for n in range(OWN_EVENTS + 60):
        deny(viewer, 1, f"d-{n}")
    row = DenialCount.objects.get()
    assert (len(row.facts["requests"]), len(row.facts["targets"])) == (50, 60)
    assert timezone.now() - row.since < timedelta(minutes=1)
