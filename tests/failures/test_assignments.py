"""Users assign, note on, resolve and reopen failures; all of it is audited."""

import pytest
from django.utils import timezone

from iotda_admin.audit.models import Event
from iotda_admin.failures import assignments
from iotda_admin.failures.auto_resolve import resolve_by_inventory
from iotda_admin.failures.models import Assignment
from iotda_admin.operations.models import Target
from tests.operation_helpers import run_workers

FULL = "code=IOTDA.015204"


def send(client, act, operation, **more):
    keys = [target.pk for target in operation.targets.all()]
    return client.post(
        f"/failures/{act}/", {"target": keys, "query": FULL, **more}, follow=True
    )


def last() -> Event:
    return Event.objects.filter(kind__startswith="failure").first()


def test_a_failure_is_taken_and_given_back(me, full, actor):
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


def test_a_note_and_a_ticket_are_kept_and_recorded(me, full):
    send(me, "note", full, save="1", note="waits for the customer", ticket="INC-9")
    assert "waits for the customer" in me.get("/failures/?ticket=INC-9&" + FULL).text
    assert (last().reason, last().ticket, last().operation) == (
        "waits for the customer",
        "INC-9",
        full.pk,
    )


def test_only_changed_fields_are_saved(me, full):
    send(me, "note", full, save="1", note="one", ticket="INC-9")
    send(me, "note", full, save="1", note="two", ticket="INC-9")
    assert Assignment.objects.values_list("note", "ticket").get() == ("two", "INC-9")
    assert last().ticket == ""


def test_all_matching_failures_are_taken_except_newer_ones(
    me, start_operation, full, inventory
):
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


def test_resolving_by_hand_needs_a_reason(me, full):
    assert "Enter a reason" in send(me, "solve", full, save="1", reason=" ").text
    assert full.targets.get().resolved_at is None


def test_a_failure_is_resolved_by_hand_and_reopened(me, full, actor):
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


def test_a_failure_resolved_by_an_operation_is_not_reopened(me, full):
    Target.objects.filter(pk=full.targets.get().pk).update(
        resolved_at=timezone.now(), resolved_by="OP-9"
    )
    me.post(
        "/failures/reopen/", {"only": full.targets.get().pk, "query": "state=resolved"}
    )
    assert full.targets.get().resolved_by == "OP-9"


def test_an_invisible_failure_cannot_be_changed(operator, full):
    assert send(operator, "take", full).status_code == 404
    assert not Assignment.objects.exists()


def test_an_auditor_cannot_change_failures(auditor, full):
    assert "IOTDA.015204" in auditor.get("/failures/?" + FULL).text
    assert "/failures/take/" not in auditor.get("/failures/?" + FULL).text
    for act in ("take", "give-back", "note", "solve", "reopen", "retry"):
        assert send(auditor, act, full).status_code == 403


def test_an_assignment_moves_to_the_later_failure(me, start_operation, full, inventory):
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
    me, start_operation, full, inventory, monkeypatch
):
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
def test_the_url_of_a_form_holds_the_selection(me, full, act):
    """After a new sign-in the browser comes back to the form, not to the list."""
    key = full.targets.get().pk
    address = me.post(f"/failures/{act}/", {"target": key, "query": FULL})["Location"]
    assert f'name="target" value="{key}"' in me.get(address).text
    assert "1 target" in me.get(address).text


def test_a_get_changes_nothing(me, full):
    for act in ("take", "give-back", "note", "solve", "retry"):
        me.get(
            f"/failures/{act}/?target={full.targets.get().pk}&save=1&note=x&reason=x&key={'0' * 32}"
        )
    assert not Assignment.objects.exists()


@pytest.mark.parametrize(
    "act", ["take", "give-back", "note", "solve", "reopen", "retry"]
)
def test_a_get_of_an_action_leads_to_the_list(me, act):
    """After a new sign-in the browser comes back to the URL of the action."""
    assert me.get(f"/failures/{act}/").url == "/failures/"
