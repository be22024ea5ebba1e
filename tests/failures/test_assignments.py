"""Users assign, note on, resolve and reopen failures; all of it is audited."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from iotda_admin.access.actor import Actor
from iotda_admin.audit.models import Event
from iotda_admin.failures import assignments
from iotda_admin.failures.auto_resolve import resolve_by_inventory
from iotda_admin.failures.models import Assignment
from iotda_admin.operations.models import Operation, Target
from tests.cloud import Cloud
from tests.operation_helpers import run_workers

FULL = "code=IOTDA.015204"


def send(client: Any, act: Any, operation: Any, **more: Any) -> Any:
    keys = [target.pk for target in operation.targets.all()]
    return client.post(
        f"/failures/{act}/", {"target": keys, "query": FULL, **more}, follow=True
    )


def last() -> Event:
    return Event.objects.filter(kind__startswith="failure").first()


def test_a_failure_is_taken_and_given_back(
    me: Client, full: Operation, actor: Actor
) -> None:
    assert "Assigned to you." in send(me, "take", full).text
    assert actor.user.username in me.get("/failures/?owner=me&" + FULL).text
    send(me, "give-back", full)
    text = me.get("/failures/?owner=me&" + FULL).text
    assert "No open failure matches the filters." in text
    assert "No open failures here." in text
    assert [e.summary for e in Event.objects.filter(kind="failure.noted")] == [
        "1 failure given back",
        f"1 failure taken by {actor.user.username}",
    ]


def test_a_note_and_a_ticket_are_kept_and_recorded(me: Client, full: Operation) -> None:
    send(me, "note", full, save="1", note="waits for the customer", ticket="INC-9")
    assert "waits for the customer" in me.get("/failures/?ticket=INC-9&" + FULL).text
    assert (last().reason, last().ticket, last().operation) == (
        "waits for the customer",
        "INC-9",
        full.pk,
    )


def test_a_note_and_a_reason_are_one_line_each(me: Client, full: Operation) -> None:
    send(me, "note", full, save="1", note="waits\r\nfor\u202e Ann", ticket="INC\n9")
    assert (last().reason, last().ticket) == ("waits for Ann", "INC 9")
    assert send(me, "solve", full, save="1", reason="\u200b").status_code == 422
    send(me, "solve", full, save="1", reason="paid\u2028again")
    assert last().reason == "paid again"


def test_only_changed_fields_are_saved(me: Client, full: Operation) -> None:
    send(me, "note", full, save="1", note="one", ticket="INC-9")
    send(me, "note", full, save="1", note="two", ticket="INC-9")
    assert Assignment.objects.values_list("note", "ticket").get() == ("two", "INC-9")
    assert last().ticket == ""


def test_all_matching_failures_are_taken_except_newer_ones(
    me: Client,
    start_operation: Callable[..., Operation],
    full: Operation,
    inventory: Cloud,
) -> None:
    upto = full.targets.get().pk
    inventory.fault(
        "BindDevicePolicy",
        "status",
        status=400,
        error_code="IOTDA.015204",
        error_msg="five",
    )
    later = start_operation("policy.bind", inventory.free(1)[0], policy="policy")
    run_workers()
    send(me, "take", full, target=[], all="1", upto=upto)
    assert [each.target_id for each in Assignment.objects.all()] == [upto]
    assert later.targets.get().pk > upto


def test_resolving_by_hand_needs_a_reason(me: Client, full: Operation) -> None:
    assert "Enter a reason" in send(me, "solve", full, save="1", reason=" ").text
    assert full.targets.get().resolved_at is None


def test_a_failure_is_resolved_by_hand_and_reopened(
    me: Client, full: Operation, actor: Actor
) -> None:
    text = send(me, "solve", full, save="1", reason="device was scrapped").text
    assert ("Nothing open here." in text, "Next:" in text) == (
        True,
        False,
    )
    assert "No open failures." in me.get("/failures/").text
    assert "device was scrapped" in me.get("/failures/?state=resolved").text
    assert (last().kind, last().reason) == ("failure.solved", "device was scrapped")
    me.post(
        "/failures/reopen/", {"only": full.targets.get().pk, "query": "state=resolved"}
    )
    assert full.targets.get().resolved_at is None
    assert "?code=IOTDA.015204" in me.get("/failures/").text


def test_a_failure_resolved_by_an_operation_is_not_reopened(
    me: Client, full: Operation
) -> None:
    Target.objects.filter(pk=full.targets.get().pk).update(
        resolved_at=timezone.now(), resolved_by="OP-9"
    )
    me.post(
        "/failures/reopen/", {"only": full.targets.get().pk, "query": "state=resolved"}
    )
    assert full.targets.get().resolved_by == "OP-9"


def test_an_invisible_failure_cannot_be_changed(
    operator: Client, full: Operation
) -> None:
    assert send(operator, "take", full).status_code == 404
    assert not Assignment.objects.exists()


def test_an_auditor_cannot_change_failures(auditor: Client, full: Operation) -> None:
    assert "IOTDA.015204" in auditor.get("/failures/?" + FULL).text
    assert "/failures/take/" not in auditor.get("/failures/?" + FULL).text
    for act in ("take", "give-back", "note", "solve", "reopen", "retry"):
        assert send(auditor, act, full).status_code == 403


def test_an_assignment_moves_to_the_later_failure(
    me: Client,
    start_operation: Callable[..., Operation],
    full: Operation,
    inventory: Cloud,
) -> None:
    send(me, "take", full)
    again = start_operation("policy.bind", inventory.known_ids["full"], policy="policy")
    resolve_by_inventory()
    assert [each.target for each in Assignment.objects.exclude(assignee=None)] == [
        again.targets.get()
    ]
    assert (last().operation, last().detail, last().source) == (
        again.pk,
        {"operations": [full.pk]},
        "worker",
    )
    assert last().summary.startswith(f"1 failure failed again in {again}, taken by")
    assert last().outcomes.get().target_id == again.targets.get().target_id


def test_a_reason_that_looks_like_a_later_failure_moves_no_assignment(
    me: Client,
    start_operation: Callable[..., Operation],
    full: Operation,
    inventory: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(assignments, "BATCH_SIZE", 1)
    first = start_operation("policy.bind", inventory.free(1)[0], policy="policy")
    Target.objects.filter(operation=first).update(state="failed", resolved_at=None)
    send(me, "solve", full, save="1", reason="looked at, which failed again")
    send(me, "take", first)
    Target.objects.filter(operation=first).update(
        resolved_at=timezone.now(), resolved_by="OP-0, which failed again"
    )
    resolve_by_inventory()
    assert Assignment.objects.get().target.operation == full


@pytest.mark.parametrize("act", ["note", "solve", "retry"])
def test_the_url_of_a_form_holds_the_selection(
    me: Client, full: Operation, act: str
) -> None:
    """After a new sign-in the browser comes back to the form, not to the list."""
    key = full.targets.get().pk
    address = me.post(f"/failures/{act}/", {"target": key, "query": FULL})["Location"]
    assert f'name="target" value="{key}"' in me.get(address).text
    assert "1 target" in me.get(address).text


def test_a_get_changes_nothing(me: Client, full: Operation) -> None:
    for act in ("take", "give-back", "note", "solve", "retry"):
        me.get(
            f"/failures/{act}/?target={full.targets.get().pk}&save=1&note=x&reason=x&key={'0' * 32}"
        )
    assert not Assignment.objects.exists()


@pytest.mark.parametrize(
    "act", ["take", "give-back", "note", "solve", "reopen", "retry"]
)
def test_a_get_of_an_action_leads_to_the_list(me: Client, act: str) -> None:
    """After a new sign-in the browser comes back to the URL of the action."""
    assert me.get(f"/failures/{act}/")["Location"] == "/failures/"
