"""Retry failed targets, and undo the changes of an operation."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection as database
from django.test import Client
from pytest_django import Settings

from devices.models import Space
from iotda_admin.access.actor import Actor
from iotda_admin.access.models import Grant
from iotda_admin.audit.models import Event
from iotda_admin.operations.followups import undo_status
from iotda_admin.operations.followups.plan import (
    PlanOutdated,
    create_follow_up,
)
from iotda_admin.operations.followups.undo import UndoPlan
from iotda_admin.operations.models import Operation, Target
from iotda_admin.rate import connection
from tests.cloud import Cloud
from tests.operation_helpers import (
    KEY,
    OTHER_KEY,
    change_form,
    make_everything_due,
    outcome_counts,
    run_workers,
    target_states,
    write_requests,
)

MISSING = "failed:IOTDA.014000"


@pytest.fixture
def me(actor: Actor) -> Client:
    """The one who asks, signed in."""
    client = Client()
    client.force_login(actor.user)
    return client


def offered(text: str) -> dict[str, bool]:
    """Return the groups of a form, and whether each is preselected."""
    boxes = re.findall(r'name="group" value="([^"]*)"\s+(checked)?', text)
    return {name: bool(checked) for name, checked in boxes}


def form(client: Any, url: Any, **more: Any) -> dict[str, Any]:
    """Return the form of the page with its preselected groups."""
    text = client.get(url).text
    ticked = [name for name, checked in offered(text).items() if checked]
    seen = re.search(r'name="seen" value="(\w+)"', text)
    return change_form(**{"group": ticked, "seen": seen[1] if seen else "", **more})


def follow(client: Any, operation: Any, what: Any, **more: Any) -> Any:
    url = f"{operation.get_absolute_url()}{what}/"
    return client.post(url, form(client, url, **more))


def last() -> Operation:
    return Operation.objects.order_by("pk").last()


# Retry


@pytest.fixture
def partial(start_operation: Callable[..., Operation], inventory: Cloud) -> Any:
    """Bound to one, refused for one that does not exist, and for one not known by this code."""
    full = inventory.known_ids["full"]
    return start_operation(
        "policy.bind",
        inventory.free(1)[0],
        "nobody-1",
        full,
        policy="policy",
        ticket="INC-7",
    )


@pytest.fixture
def broken(
    start_operation: Callable[..., Operation], inventory: Cloud, settings: Settings
) -> Any:
    """A freeze that was not sent, because IoTDA was unreachable."""
    inventory.fault("ShowDevice", "drop")
    operation = start_operation("device.freeze", *inventory.free(2))
    while outcome_counts(operation) != {"failed": 2}:
        make_everything_due()
        run_workers()
    inventory.heal()
    return operation


def test_retry_preselects_what_can_succeed(me: Client, broken: Any) -> None:
    assert offered(me.get(f"{broken.get_absolute_url()}retry/").text) == {
        "failed:not_sent": True
    }


def test_retry_explains_the_rest_and_does_not_select_it(
    me: Client, partial: Any
) -> None:
    text = me.get(f"{partial.get_absolute_url()}retry/").text
    assert offered(text) == {MISSING: False, "failed:IOTDA.015204": False}
    assert "The device does not exist." in text
    assert "Unbind a policy it no longer needs" in text


def test_retry_sends_exactly_what_is_chosen(
    me: Client, partial: Any, inventory: Cloud
) -> None:
    follow(me, partial, "retry", group=["failed:IOTDA.015204"])
    assert last().retry_of == partial
    assert target_states(last()).keys() == {inventory.known_ids["full"]}
    assert write_requests(inventory)[-1]["target_ids"] == [inventory.known_ids["full"]]


def test_retry_of_unsent_targets_succeeds(
    me: Client, broken: Any, inventory: Cloud
) -> None:
    response = follow(me, broken, "retry")
    assert response["Location"] == last().get_absolute_url()
    run_workers()
    assert outcome_counts(last()) == {"ok": 2}
    assert outcome_counts(broken) == {"failed": 2}


@pytest.mark.parametrize("key", ["", "a\0b", "x" * 100_000])
def test_an_invalid_key_is_rejected_before_a_query(
    me: Client, broken: Any, key: str
) -> None:
    assert follow(me, broken, "retry", key=key).status_code == 422
    assert last() == broken


def test_retry_takes_reason_and_ticket_from_the_first_operation(
    me: Client, partial: Any
) -> None:
    text = me.get(f"{partial.get_absolute_url()}retry/").text
    assert 'value="because"' in text
    assert 'value="INC-7"' in text


def test_both_operations_of_a_retry_link_to_each_other(me: Client, broken: Any) -> None:
    follow(me, broken, "retry")
    assert "Attempt 2 of <" in squeezed(me.get(last().get_absolute_url()).text)
    assert f">{last()}</a>" in me.get(broken.get_absolute_url()).text
    assert "Retried by" in me.get(broken.get_absolute_url()).text


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_a_third_attempt_counts_from_the_first(
    me: Client, broken: Any, inventory: Cloud
) -> None:
    inventory.fault(
        "ShowDevice", "status", status=404, error_code="IOTDA.014000", error_msg="No."
    )
    follow(me, broken, "retry")
    run_workers()
    second = last()
    follow(me, second, "retry", key=OTHER_KEY, group=[MISSING])
    assert last().retry_of == second
    text = squeezed(me.get(last().get_absolute_url()).text)
    assert re.search(rf"Attempt 3 of <[^>]*>{broken}<", text)


def test_retry_of_a_bind_reads_the_policy_again_first(
    me: Client, partial: Any, inventory: Cloud
) -> None:
    before = len(inventory.journal())
    follow(me, partial, "retry", group=[MISSING])
    since = [entry["operation"] for entry in inventory.journal()[before:]]
    assert since.index("ShowDevicePolicy") < since.index("BindDevicePolicy")


def test_retry_of_a_bind_records_what_is_bound_by_now(
    me: Client, partial: Any, inventory: Cloud
) -> None:
    full, policy = inventory.known_ids["full"], inventory.known_ids["policy"]
    there = {"policy_id": policy, "target_type": "device", "target_id": full}
    inventory.call("POST", "bindings", json=there)
    follow(me, partial, "retry", group=["failed:IOTDA.015204"])
    assert last().targets.get().stood_before


def test_failures_that_can_never_succeed_cannot_be_selected(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation("device.freeze", inventory.known_ids["child"])
    url = f"{operation.get_absolute_url()}retry/"
    assert "Nothing left to retry." in me.get(url).text
    assert "freeze the gateway" in me.get(url).text
    response = me.post(url, form(me, url, group=["failed:not_directly_connected"]))
    assert response.status_code == 422
    assert last() == operation


def test_unknown_targets_cannot_be_retried(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    inventory.fault("FreezeDevice", "drop", moment="after")
    operation = start_operation("device.freeze", *inventory.free(1))
    response = follow(me, operation, "retry", group=["unknown:"])
    assert response.status_code == 422
    assert "gave no clear answer" in response.text
    assert len(write_requests(inventory)) == 1


def test_a_retry_leaves_out_targets_changed_successfully_since(
    me: Client, broken: Any, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    done = start_operation("device.freeze", inventory.free(1)[0])
    text = me.get(f"{broken.get_absolute_url()}retry/").text
    assert f"{done}</a>" in text
    follow(me, broken, "retry")
    assert target_states(last()).keys() == {inventory.free(2)[1]}


def test_a_target_that_was_changed_since_is_retried_only_if_selected(
    me: Client, broken: Any, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    device = inventory.free(1)[0]
    start_operation("device.unfreeze", device)
    url = f"{broken.get_absolute_url()}retry/"
    assert offered(me.get(url).text) == {"failed:not_sent": True, "wanted since": False}
    follow(me, broken, "retry", group=["wanted since"])
    assert target_states(last()).keys() == {device}


def test_the_same_retry_twice_is_one_operation(
    me: Client, broken: Any, inventory: Cloud
) -> None:
    url = f"{broken.get_absolute_url()}retry/"
    sent = form(me, url)
    assert me.post(url, sent)["Location"] == me.post(url, sent)["Location"]
    assert Operation.objects.filter(retry_of=broken).count() == 1
    run_workers()
    assert me.post(url, sent)["Location"] == last().get_absolute_url()
    assert len(write_requests(inventory)) == 2


@pytest.mark.django_db(transaction=True)
def test_twenty_posts_of_one_retry_are_one_operation(
    transactional_db: None, me: Client, broken: Any, inventory: Cloud
) -> None:
    url = f"{broken.get_absolute_url()}retry/"
    sent = form(me, url)

    def post(_n: Any) -> Any:
        client = Client()
        client.cookies = me.cookies
        try:
            return client.post(url, sent).status_code
        finally:
            database.close()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, range(20))) == {302}
    assert Operation.objects.filter(retry_of=broken).count() == 1


def test_the_same_key_with_another_selection_is_rejected(
    me: Client, partial: Any
) -> None:
    url = f"{partial.get_absolute_url()}retry/"
    sent = form(me, url, group=[MISSING])
    me.post(url, sent)
    response = me.post(url, sent | {"group": ["failed:IOTDA.015204"]})
    assert response.status_code == 409
    assert f"already sent as {last()}" in response.text


def test_a_second_tab_shows_that_it_was_retried_already(
    me: Client, broken: Any, inventory: Cloud
) -> None:
    url = f"{broken.get_absolute_url()}retry/"
    one, other = form(me, url), form(me, url, key=OTHER_KEY)
    me.post(url, one)
    response = me.post(url, other)
    assert response.status_code in (409, 422)
    assert Operation.objects.filter(retry_of=broken).count() == 1


def test_a_running_operation_cannot_be_retried(
    me: Client, record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    Target.objects.filter(target_id=inventory.free(1)[0]).update(
        state="failed", error_code="not_sent"
    )
    url = f"{operation.get_absolute_url()}retry/"
    response = me.post(url, change_form(group=["failed:not_sent"]))
    assert response.status_code == 409
    assert "is still running" in response.text


def test_a_retry_on_a_whole_space_needs_its_name_again(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    space = inventory.known_ids["other_space"]
    inventory.fault(
        "BindDevicePolicy",
        "status",
        status=400,
        error_code="IOTDA.000006",
        error_msg="No.",
    )
    operation = start_operation("policy.bind", space, target_type="app")
    inventory.heal()
    again = {"group": ["failed:IOTDA.000006"], "other_space": "on"}
    response = follow(me, operation, "retry", typed="plant-nowhere", **again)
    assert response.status_code == 422
    assert "exactly as it is shown" in response.text
    assert last() == operation
    follow(me, operation, "retry", typed=Space.objects.get(pk=space).name, **again)
    assert outcome_counts(last()) == {"ok": 1}


def test_a_retry_needs_a_reason(me: Client, broken: Any) -> None:
    response = follow(me, broken, "retry", reason=" ")
    assert response.status_code == 422
    assert "Say why" in response.text


def test_an_empty_selection_sends_nothing(me: Client, broken: Any) -> None:
    response = follow(me, broken, "retry", group=[])
    assert response.status_code == 422
    assert "Choose at least one." in response.text


# Undo


def test_undo_touches_only_what_it_changed(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    before, *devices = inventory.known_ids["frozen"], *inventory.free(2)
    operation = start_operation("device.freeze", before, *devices, "nobody-1")
    run_workers()
    follow(me, operation, "undo")
    run_workers()
    assert (last().verb, last().undo_of) == ("device.unfreeze", operation)
    assert target_states(last()) == dict.fromkeys(devices, "ok")
    assert inventory.status(before) == "FROZEN"


def test_undo_lists_the_targets_it_leaves_out(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation(
        "device.freeze", inventory.known_ids["frozen"], *inventory.free(2)
    )
    run_workers()
    text = squeezed(me.get(f"{operation.get_absolute_url()}undo/").text)
    assert "These had the requested state before this operation." in text
    assert offered(text) == {"changed": True}
    assert re.search(r">\s*2 targets\s*<", text)


@pytest.mark.parametrize(
    ("verb", "inverse"),
    [("policy.bind", "policy.unbind"), ("policy.unbind", "policy.bind")],
)
def test_undo_of_a_bind_unbinds_and_of_an_unbind_binds(
    me: Client,
    start_operation: Callable[..., Operation],
    inventory: Cloud,
    verb: str,
    inverse: str,
) -> None:
    policy = inventory.known_ids["policy"]
    bound = sorted(inventory.bound(policy))
    ids = list(inventory.free(2)) if verb == "policy.bind" else bound[:2]
    operation = start_operation(verb, *ids, policy="policy")
    follow(me, operation, "undo")
    assert last().verb == inverse
    assert outcome_counts(last()) == {"ok": 2}
    assert sorted(inventory.bound(policy)) == bound


def test_undo_leaves_out_devices_frozen_again_since_unless_selected(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    one, other = inventory.free(2)
    operation = start_operation("device.freeze", one, other)
    run_workers()
    start_operation("device.unfreeze", one)
    again = start_operation("device.freeze", one)
    url = f"{operation.get_absolute_url()}undo/"
    text = me.get(url).text
    assert offered(text) == {"changed": True, "changed since": False}
    assert f">{again}</a>" in text
    follow(me, operation, "undo")
    assert target_states(last()).keys() == {other}
    follow(me, operation, "undo", group=["changed since"], key=OTHER_KEY)
    assert inventory.status(one) != "FROZEN"


def test_undo_leaves_out_what_another_operation_requested_as_well(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation("device.freeze", *inventory.free(1))
    start_operation("device.freeze", *inventory.free(1))
    assert offered(me.get(f"{operation.get_absolute_url()}undo/").text) == {
        "wanted since": False
    }


def test_a_freeze_after_the_form_was_opened_is_not_undone(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    device = inventory.free(1)[0]
    operation = start_operation("device.freeze", device)
    url = f"{operation.get_absolute_url()}undo/"
    sent = form(me, url)
    start_operation("device.unfreeze", device)
    start_operation("device.freeze", device)
    response = me.post(url, sent)
    assert response.status_code in (409, 422)
    assert "has changed" in response.text
    assert inventory.status(device) == "FROZEN"


def test_an_undo_is_rejected_if_it_covers_fewer_targets_than_the_form_showed(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    one, other = inventory.free(2)
    operation = start_operation("device.freeze", one, other)
    run_workers()
    url = f"{operation.get_absolute_url()}undo/"
    sent = form(me, url)
    start_operation("device.unfreeze", one)
    response = me.post(url, sent)
    assert response.status_code == 409
    assert "More has changed since you opened this page." in response.text
    assert inventory.status(other) == "FROZEN"
    assert me.post(url, form(me, url)).status_code == 302


def test_a_second_undo_shows_that_the_operation_is_undone(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation("device.freeze", *inventory.free(1))
    follow(me, operation, "undo")
    url = f"{operation.get_absolute_url()}undo/"
    text = me.get(url).text
    assert "Nothing left to undo." in text
    assert f">{last()}</a>" in text
    assert (
        me.post(url, change_form(key=OTHER_KEY, group=["changed"])).status_code == 422
    )
    assert "Undone by" in me.get(operation.get_absolute_url()).text


def test_undo_is_not_offered_once_all_targets_are_undone(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation(
        "device.freeze", *inventory.free(2), inventory.known_ids["frozen"]
    )
    run_workers()
    url = operation.get_absolute_url()
    assert 'id="undo"' in me.get(url).text
    follow(me, operation, "undo")
    assert f"Undone completely, or being changed, by {last()}." in plain(
        me.get(url).text
    )
    run_workers()
    text = me.get(url).text
    assert f"Undone completely by {last()}." in plain(text)
    assert 'id="undo"' not in text


def test_undo_is_offered_again_after_the_change_was_repeated(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    one, other = inventory.free(2)
    operation = start_operation("device.freeze", one, other)
    run_workers()
    start_operation("device.unfreeze", one)
    assert 'id="undo"' in me.get(operation.get_absolute_url()).text
    start_operation("device.unfreeze", other)
    text = plain(me.get(operation.get_absolute_url()).text)
    assert "Undone completely by later operations." in text
    start_operation("device.freeze", one)
    assert 'id="undo"' in me.get(operation.get_absolute_url()).text


@pytest.mark.parametrize("few", [2, 1])
def test_undo_is_not_offered_for_an_undone_large_operation(
    me: Client,
    start_operation: Callable[..., Operation],
    inventory: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    few: int,
) -> None:
    monkeypatch.setattr(undo_status, "SMALL_OPERATION", few)
    operation = start_operation("policy.bind", *inventory.free(2))
    url = operation.get_absolute_url()
    assert 'id="undo"' in me.get(url).text
    follow(me, operation, "undo")
    text = me.get(url).text
    assert f"Undone completely by {last()}." in plain(text)
    assert 'id="undo"' not in text
    start_operation("policy.bind", *inventory.free(2))
    assert 'id="undo"' in me.get(url).text


def plain(text: str) -> str:
    return squeezed(re.sub(r"<[^>]+>", "", text))


def test_what_is_still_changed_can_be_undone_by_a_second_undo(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    one, other = inventory.free(2)
    operation = start_operation("device.freeze", one, other)
    run_workers()
    start_operation("device.unfreeze", one)
    follow(me, operation, "undo")
    assert target_states(last()) == {other: "ok"}


def test_the_same_undo_twice_is_one_operation(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation("device.freeze", *inventory.free(1))
    url = f"{operation.get_absolute_url()}undo/"
    sent = form(me, url)
    assert me.post(url, sent)["Location"] == me.post(url, sent)["Location"]
    assert [entry["operation"] for entry in write_requests(inventory)] == [
        "FreezeDevice",
        "UnfreezeDevice",
    ]


def test_one_key_for_two_undos_is_rejected(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    device = inventory.free(1)[0]
    first = start_operation("device.freeze", device)
    follow(me, first, "undo", key=KEY)
    second = start_operation("device.freeze", device)
    response = follow(me, second, "undo", key=KEY)
    assert response.status_code == 409
    assert inventory.status(device) == "FROZEN"


def test_an_undo_on_a_whole_space_needs_its_name(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    space, policy = (
        inventory.known_ids["other_space"],
        inventory.known_ids["other_policy"],
    )
    operation = start_operation("policy.bind", space, target_type="app")
    assert follow(me, operation, "undo").status_code == 422
    assert inventory.bound(policy, "app") == {space}
    follow(me, operation, "undo", typed=Space.objects.get(pk=space).name)
    assert inventory.bound(policy, "app") == set()


def test_an_undo_on_a_whole_space_needs_the_permission_for_spaces(
    me: Client,
    start_operation: Callable[..., Operation],
    actor: Actor,
    inventory: Cloud,
) -> None:
    operation = start_operation(
        "policy.bind", inventory.known_ids["other_space"], target_type="app"
    )
    actor.user.groups.set([Group.objects.get(name="operator")])
    assert me.get(f"{operation.get_absolute_url()}undo/").status_code == 403
    assert Event.objects.filter(kind="denied").count() == 1


def test_undo_waits_for_an_earlier_undo_of_unknown_outcome(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation("device.freeze", *inventory.free(1))
    inventory.fault("UnfreezeDevice", "drop", moment="after")
    follow(me, operation, "undo")
    text = me.get(f"{operation.get_absolute_url()}undo/").text
    assert offered(text) == {}
    assert "got no clear answer" in text


def test_undo_does_not_take_the_old_reason(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation("device.freeze", *inventory.free(1), ticket="INC-7")
    text = me.get(f"{operation.get_absolute_url()}undo/").text
    assert "because" not in text
    assert 'value="INC-7"' in text


def test_an_undo_is_in_the_trail(
    me: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation("device.freeze", *inventory.free(1))
    follow(me, operation, "undo")
    event = Event.objects.get(kind="operation.asked", verb="device.unfreeze")
    assert (event.operation, event.reason, event.actor_name) == (
        last().pk,
        "billing dispute",
        "admin",
    )


# Whose they are


@pytest.mark.parametrize("what", ["retry", "undo", "cancel", "failures.csv"])
def test_a_follow_up_of_a_hidden_operation_is_not_found(
    operator: Client, broken: Any, what: str
) -> None:
    Grant.objects.filter(user__username="operator").update(app_id="another-space")
    url = f"{broken.get_absolute_url()}{what}" + ("" if "." in what else "/")
    assert operator.get(url).status_code == 404
    assert operator.post(url).status_code in (404, 405)


@pytest.mark.parametrize("what", ["retry", "undo", "cancel"])
def test_a_follow_up_without_a_csrf_token_is_rejected(
    me: Client, broken: Any, what: str
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = me.cookies
    assert (
        client.post(f"{broken.get_absolute_url()}{what}/", change_form()).status_code
        == 403
    )
    assert last() == broken


def test_a_link_to_a_hidden_operation_is_only_a_number(
    operator: Client, broken: Any, actor: Actor, inventory: Cloud
) -> None:
    grants = Grant.objects.filter(user__username="operator")
    user = grants.get().user
    grants.delete()
    Grant.objects.bulk_create(
        Grant(user=user, app_id=space.app_id) for space in broken.spaces.all()
    )
    # It has no resource space, so only users with every space see it.
    other = Operation.objects.create(
        verb="device.freeze",
        target_type="device",
        form_key="x",
        retry_of=broken,
        actor=actor.user,
    )
    text = operator.get(broken.get_absolute_url()).text
    assert f"{other}" in text
    assert other.get_absolute_url() not in text


def test_a_target_changed_while_iotda_was_read_is_not_undone(
    actor: Actor, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    (device,) = inventory.free(1)
    plan = UndoPlan(start_operation("device.freeze", device))
    start_operation("device.unfreeze", device)
    start_operation("device.freeze", device)
    changed = plan.chosen(["changed"])
    request = plan.request(changed, reason="r", ticket="", key="f" * 32)
    seen = plan.fingerprint
    with pytest.raises(PlanOutdated):
        create_follow_up(plan, request, seen, actor, connection.client())
    assert Operation.objects.count() == 3
