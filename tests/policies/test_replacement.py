"""Replace a policy of a full target with the one whose bind failed."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import connection as database
from django.test import Client
from pytest_django import Settings

from devices.models import Device, Space
from iotda_admin.access.actor import Actor
from iotda_admin.audit.models import Event
from iotda_admin.operations.execution.held_work import hold_operations
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.requests import OperationRequest, TargetSpec
from iotda_admin.operations.services import (
    OperationRejected,
    dispatch,
    record_pair,
)
from iotda_admin.rate.connection import client as iotda
from policies.models import Binding, Policy
from policies.replacement import Replacement
from tests.cloud import Cloud
from tests.conftest import HTMX, make_user
from tests.failures.conftest import me, record_operation, start_operation
from tests.operation_helpers import (
    KEY,
    OTHER_KEY,
    change_form,
    make_everything_due,
    make_iotda_unreachable,
    outcome_counts,
    reconcile_now,
    run_workers,
    target_states,
    write_requests,
)

__all__ = ["me", "record_operation", "start_operation"]
type Start = Callable[..., Operation]


@pytest.fixture
def failed(start_operation: Start, inventory: Cloud) -> Operation:
    """A bind of a device that has five policies already."""
    full = inventory.known_ids["full"]
    return start_operation(
        "policy.bind", full, policy="policy", policy_name="quarantine", ticket="INC-7"
    )


def page_of(operation: Operation) -> str:
    target = operation.targets.get().target_id
    return f"/policies/replace.for/{operation.pk}/{target}/"


def on_target(cloud: Cloud, operation: Operation) -> list[str]:
    """The IDs of the policies that the target has at IoTDA."""
    target = operation.targets.get().target_id
    params = {"target_type": operation.target_type, "target_id": target}
    rows = cloud.call("GET", "bindings", params=params)["bindings"]
    return sorted(row["policy_id"] for row in rows)


def choices(text: str) -> list[str]:
    return re.findall(r'name="unbind" value="(\w+)"', text)


def unbind_elsewhere(cloud: Cloud, operation: Operation, policy: str) -> None:
    target = operation.targets.get().target_id
    params = {"policy_id": policy, "target_id": target}
    cloud.call("DELETE", "bindings", params=params)


def bind_elsewhere(
    cloud: Cloud, policy: str, target: str, kind: str = "device"
) -> None:
    binding = {"policy_id": policy, "target_id": target, "target_type": kind}
    cloud.call("POST", "bindings", json=binding)


def sent(cloud: Cloud, since: int) -> list[tuple[str, str]]:
    """The writes after the first ones: the call and its policy."""
    return [
        (entry["operation"], entry["path"].split("/")[-2])
        for entry in write_requests(cloud)[since:]
    ]


def pair() -> tuple[Operation, Operation]:
    second = Operation.objects.get(after__isnull=False)
    assert second.after
    return second.after, second


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", re.sub(r"</?bdi>", "", html)).split())


def test_the_page_shows_the_policies_as_iotda_has_them_now(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    Binding.objects.all().delete()
    text = me.get(page_of(failed)).text
    assert sorted(choices(text)) == on_target(inventory, failed)
    assert "It has 5 of 5 policies, so quarantine does not fit." in text_of(text)
    assert 'name="ticket" value="INC-7"' in text


def test_the_operation_and_the_failures_lead_to_the_page(
    me: Client, failed: Operation
) -> None:
    assert f'href="{page_of(failed)}"' in me.get(failed.get_absolute_url()).text
    listed = me.get("/failures/?code=IOTDA.015204").text
    assert f'href="{page_of(failed)}?back=failures"' in listed


def test_the_chosen_policy_is_unbound_and_the_other_bound(
    me: Client, failed: Operation, inventory: Cloud, actor: Actor
) -> None:
    chosen, *kept = on_target(inventory, failed)
    response = me.post(page_of(failed), change_form(unbind=chosen))
    assert response["Location"] == failed.get_absolute_url()
    assert sent(inventory, 1) == [
        ("UnbindDevicePolicy", chosen),
        ("BindDevicePolicy", failed.policy_id),
    ]
    assert on_target(inventory, failed) == sorted([*kept, failed.policy_id])
    unbind, bind = pair()
    assert bind.retry_of == failed
    for each in (unbind, bind):
        assert outcome_counts(each) == {"ok": 1}
        assert (each.actor, each.reason) == (actor.user, "billing dispute")
        assert Event.objects.filter(kind="operation.ended", operation=each.pk).exists()
    assert unbind.policy_name == Policy.objects.get(pk=chosen).name


def test_afterwards_the_failure_is_resolved_and_links_to_both(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    form = change_form(unbind=on_target(inventory, failed)[0])
    page = me.post(page_of(failed), form, follow=True).text
    unbind, bind = pair()
    assert f"Resolved: {bind}" in text_of(page)
    for each in (unbind, bind):
        assert f'href="{each.get_absolute_url()}"' in page
    assert "Replace a policy" not in page
    assert f'href="{bind.get_absolute_url()}"' in me.get(unbind.get_absolute_url()).text
    assert f'href="{unbind.get_absolute_url()}"' in me.get(bind.get_absolute_url()).text


def test_htmx_gets_the_operation_and_closes_the_dialog(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    dialog = me.get(page_of(failed), headers=HTMX).text
    assert 'hx-target="#operation"' in dialog
    assert "<html" not in dialog
    form = change_form(unbind=on_target(inventory, failed)[0])
    response = me.post(page_of(failed), form, headers=HTMX)
    assert "dialog:close" in response["HX-Trigger"]
    assert response.text.lstrip().startswith("<title>")
    assert f"Resolved: {pair()[1]}" in text_of(response.text)


def test_an_htmx_form_with_an_error_stays_in_the_dialog(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    response = me.post(page_of(failed), change_form(unbind=""), headers=HTMX)
    assert (response.status_code, response["HX-Retarget"]) == (422, "#dialog-body")
    assert "Choose the policy to unbind." in response.text


@pytest.mark.parametrize("missing", ["unbind", "reason", "key"])
def test_an_incomplete_form_sends_nothing(
    me: Client, failed: Operation, inventory: Cloud, missing: str
) -> None:
    form = change_form(unbind=on_target(inventory, failed)[0]) | {missing: ""}
    assert me.post(page_of(failed), form).status_code == 422
    assert Operation.objects.count() == 1
    assert sent(inventory, 1) == []


def test_all_errors_of_a_form_are_shown_at_once(me: Client, failed: Operation) -> None:
    text = me.post(page_of(failed), change_form(unbind="", reason="")).text
    assert "Choose the policy to unbind." in text
    assert "Say why" in text


def test_the_failures_list_shows_both_operations_afterwards(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    form = change_form(unbind=on_target(inventory, failed)[0])
    response = me.post(f"{page_of(failed)}?back=failures", form, follow=True)
    path, _status = response.redirect_chain[-1]
    assert path.startswith("/failures/?code=IOTDA.015204&asked=")
    for each in pair():
        assert f'href="{each.get_absolute_url()}"' in response.text


# Changes at IoTDA meanwhile


def test_with_room_by_now_the_page_only_binds(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    unbind_elsewhere(inventory, failed, on_target(inventory, failed)[0])
    text = me.get(page_of(failed)).text
    assert choices(text) == []
    assert "It has 4 of 5 policies now: there is room for quarantine." in text_of(text)
    me.post(page_of(failed), change_form())
    assert sent(inventory, 1) == [("BindDevicePolicy", failed.policy_id)]
    again = Operation.objects.get(retry_of=failed)
    assert (outcome_counts(again), again.after) == ({"ok": 1}, None)


def test_with_room_by_now_the_chosen_policy_stays(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    chosen, other, *_rest = on_target(inventory, failed)
    unbind_elsewhere(inventory, failed, other)
    response = me.post(page_of(failed), change_form(unbind=chosen))
    assert response.status_code == 409
    assert "A policy was unbound meanwhile" in response.text
    assert choices(response.text) == []
    assert Operation.objects.count() == 1
    assert chosen in on_target(inventory, failed)


def test_a_policy_that_is_no_longer_bound_cannot_be_chosen(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    chosen = on_target(inventory, failed)[0]
    target = failed.targets.get().target_id
    unbind_elsewhere(inventory, failed, chosen)
    others = set(Policy.objects.values_list("pk", flat=True)) - {
        *on_target(inventory, failed),
        chosen,
        failed.policy_id,
    }
    bind_elsewhere(inventory, min(others), target)
    response = me.post(page_of(failed), change_form(unbind=chosen))
    assert response.status_code == 409
    assert "no longer bound. Choose another one." in response.text
    assert min(others) in choices(response.text)
    assert Operation.objects.count() == 1


def test_a_resolved_failure_is_not_replaced(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    failed.targets.update(resolved_at="2026-01-02T03:04:05Z", resolved_by="ada: done")
    chosen = on_target(inventory, failed)[0]
    page = me.get(page_of(failed))
    assert (page.status_code, choices(page.text)) == (200, [])
    assert "This failure is resolved: ada: done." in page.text
    response = me.post(page_of(failed), change_form(unbind=chosen))
    assert response.status_code == 409
    assert Operation.objects.count() == 1


def test_policies_with_too_many_targets_are_shown_by_the_last_sync(
    me: Client, failed: Operation, inventory: Cloud, settings: Settings
) -> None:
    settings.IOTDA_DEADLINE = 0
    text = me.get(page_of(failed)).text
    assert sorted(choices(text)) == on_target(inventory, failed)
    assert text.count("By the last sync") == 5


def test_without_an_answer_of_iotda_nothing_can_be_chosen(
    me: Client, failed: Operation, inventory: Cloud, settings: Settings
) -> None:
    chosen = on_target(inventory, failed)[0]
    make_iotda_unreachable(settings)
    assert me.get(page_of(failed)).status_code == 503
    response = me.post(page_of(failed), change_form(unbind=chosen))
    assert response.status_code == 503
    assert "Nothing was sent." in response.text
    assert Operation.objects.count() == 1


# The bind waits for the unbind


def test_a_failed_unbind_leaves_the_bind_unsent(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    inventory.fault("UnbindDevicePolicy", "status", status=400, error_code="IOTDA.9")
    chosen = on_target(inventory, failed)[0]
    page = me.post(page_of(failed), change_form(unbind=chosen), follow=True).text
    unbind, bind = pair()
    run_workers()
    assert [name for name, _policy in sent(inventory, 1)] == ["UnbindDevicePolicy"]
    assert (outcome_counts(unbind), outcome_counts(bind)) == (
        {"failed": 1},
        {"skipped": 1},
    )
    assert bind.state == "stopped"
    words = f"{unbind} (Unbind {unbind.policy_name}) was not done"
    assert f"{words}, so {bind} (Bind quarantine) was not sent." in text_of(page)
    assert "Replace a policy" in page
    assert failed.targets.get().resolved_at is None
    text = text_of(me.get(bind.get_absolute_url()).text)
    assert f"Stopped: the rest was not sent. {unbind} was not done." in text


def test_a_lost_answer_of_the_unbind_keeps_the_bind_waiting(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    inventory.fault("UnbindDevicePolicy", "drop", moment="after")
    chosen = on_target(inventory, failed)[0]
    page = me.post(page_of(failed), change_form(unbind=chosen), follow=True).text
    unbind, bind = pair()
    assert "IoTDA gave no clear answer" in text_of(page)
    assert f"/operations/{unbind.pk}/check/" in page
    assert 's, reload"' in page
    assert "Replace a policy" not in page
    make_everything_due()
    run_workers()
    dispatch(bind, iotda())
    assert [name for name, _policy in sent(inventory, 1)] == ["UnbindDevicePolicy"]
    inventory.heal()
    reconcile_now()
    run_workers()
    assert (outcome_counts(unbind), outcome_counts(bind)) == ({"ok": 1}, {"ok": 1})
    assert failed.policy_id in on_target(inventory, failed)


def test_an_unbind_that_was_not_applied_leaves_the_bind_unsent(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    inventory.fault("UnbindDevicePolicy", "drop", moment="before")
    chosen = on_target(inventory, failed)[0]
    me.post(page_of(failed), change_form(unbind=chosen))
    unbind, bind = pair()
    inventory.heal()
    for _read in range(4):
        reconcile_now()
    make_everything_due()
    run_workers()
    assert outcome_counts(unbind).keys() == {"failed"}
    assert outcome_counts(bind) == {"skipped": 1}
    assert failed.policy_id not in on_target(inventory, failed)


def test_a_throttled_unbind_and_its_bind_are_sent_by_a_worker(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    inventory.fault("UnbindDevicePolicy", "throttle", retry_after=60)
    chosen = on_target(inventory, failed)[0]
    page = me.post(page_of(failed), change_form(unbind=chosen), follow=True).text
    unbind, bind = pair()
    assert f"is not done yet. {bind} (Bind quarantine) is sent after" in text_of(page)
    inventory.heal()
    make_everything_due()
    run_workers()
    assert (outcome_counts(unbind), outcome_counts(bind)) == ({"ok": 1}, {"ok": 1})


def test_a_cancelled_unbind_leaves_the_bind_unsent(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    inventory.fault("UnbindDevicePolicy", "throttle", retry_after=60)
    chosen = on_target(inventory, failed)[0]
    me.post(page_of(failed), change_form(unbind=chosen))
    unbind, bind = pair()
    me.post(f"{unbind.get_absolute_url()}cancel/")
    inventory.heal()
    make_everything_due()
    run_workers()
    assert (outcome_counts(unbind), outcome_counts(bind)) == (
        {"cancelled": 1},
        {"skipped": 1},
    )
    assert sent(inventory, 2) == []


@pytest.fixture
def requests(
    failed: Operation, inventory: Cloud
) -> tuple[OperationRequest, OperationRequest]:
    target = failed.targets.get()
    specs = [TargetSpec(target.target_id, target.name)]
    chosen = on_target(inventory, failed)[0]
    unbind = OperationRequest(
        "policy.unbind", specs, "why", "1", policy_id=chosen, policy_name="telemetry"
    )
    bind = replace(
        unbind,
        verb="policy.bind",
        key="2",
        policy_id=failed.policy_id,
        policy_name="quarantine",
        retry_of=failed,
    )
    return unbind, bind


@pytest.fixture
def recorded(
    requests: tuple[OperationRequest, OperationRequest], actor: Actor
) -> Operation:
    """An unbind and its bind, recorded by a process that was killed then.

    Return the unbind.
    """
    return record_pair(*requests, actor, lambda: None)


def test_a_failure_that_is_resolved_at_the_last_moment_records_nothing(
    requests: tuple[OperationRequest, OperationRequest],
    failed: Operation,
    actor: Actor,
    inventory: Cloud,
) -> None:
    failed.targets.update(resolved_at="2026-01-02T03:04:05Z", resolved_by="ada: done")
    said = {"reason": "why", "ticket": "", "key": KEY}
    target = failed.targets.get()
    with pytest.raises(OperationRejected, match="resolved: ada: done"):
        Replacement(target, said, requests[0].policy_id).send(actor, iotda())
    assert Operation.objects.count() == 1
    assert sent(inventory, 1) == []


def test_a_worker_sends_what_a_killed_process_recorded(
    recorded: Operation, failed: Operation, inventory: Cloud
) -> None:
    run_workers()
    assert sent(inventory, 1) == [
        ("UnbindDevicePolicy", recorded.policy_id),
        ("BindDevicePolicy", failed.policy_id),
    ]


@pytest.mark.parametrize("page", ["failed", "recorded", "bind"])
def test_after_a_crash_in_between_one_button_goes_on(
    me: Client, recorded: Operation, failed: Operation, inventory: Cloud, page: str
) -> None:
    dispatch(recorded, iotda())
    bind = recorded.successors.get()
    shown = {"failed": failed, "recorded": recorded, "bind": bind}[page]
    text = me.get(shown.get_absolute_url()).text
    words = f"{recorded} (Unbind telemetry) is done. {bind} (Bind quarantine) is not"
    assert words in text_of(text)
    assert "Bind quarantine now" in text
    url = f"/operations/{bind.pk}/continue/?back={shown.pk}"
    assert f'action="{url}"' in text
    response = me.post(url)
    assert response["Location"] == shown.get_absolute_url()
    assert outcome_counts(bind) == {"ok": 1}
    assert "Bind quarantine now" not in me.get(shown.get_absolute_url()).text


def test_the_button_of_a_bind_that_waits_sends_nothing(
    me: Client, recorded: Operation, inventory: Cloud
) -> None:
    bind = recorded.successors.get()
    me.post(f"/operations/{bind.pk}/continue/")
    assert sent(inventory, 1) == []


def test_both_wait_for_their_own_button_after_a_restore(
    me: Client, recorded: Operation, failed: Operation, inventory: Cloud
) -> None:
    hold_operations(Operation.PauseCause.RESTORED, [Operation.State.RUNNING])
    bind = recorded.successors.get()
    for _read in range(4):
        reconcile_now()
    make_everything_due()
    run_workers()
    assert sent(inventory, 1) == []
    me.post(f"{recorded.get_absolute_url()}continue/")
    run_workers()
    assert (outcome_counts(recorded), outcome_counts(bind)) == (
        {"ok": 1},
        {"pending": 1},
    )
    assert "Bind quarantine now" in me.get(failed.get_absolute_url()).text
    me.post(f"{bind.get_absolute_url()}continue/?back={failed.pk}")
    run_workers()
    assert outcome_counts(bind) == {"ok": 1}


def test_a_user_who_lost_the_permission_binds_nothing(
    recorded: Operation, actor: Actor, inventory: Cloud
) -> None:
    dispatch(recorded, iotda())
    assert actor.user
    actor.user.groups.clear()
    run_workers()
    bind = recorded.successors.get()
    assert (outcome_counts(bind), bind.stop_code) == ({"skipped": 1}, "not_allowed")


# Twice


def test_the_same_form_twice_is_one_replacement(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    form = change_form(unbind=on_target(inventory, failed)[0])
    first, second = me.post(page_of(failed), form), me.post(page_of(failed), form)
    assert first["Location"] == second["Location"] == failed.get_absolute_url()
    assert Operation.objects.count() == 3
    assert len(sent(inventory, 1)) == 2


@pytest.mark.django_db(transaction=True)
def test_ten_posts_of_one_form_are_one_replacement(
    transactional_db: None, me: Client, failed: Operation, inventory: Cloud
) -> None:
    form = change_form(unbind=on_target(inventory, failed)[0])

    def post(_n: int) -> int:
        client = Client()
        client.cookies = me.cookies
        try:
            return client.post(page_of(failed), form).status_code
        finally:
            database.close()

    with ThreadPoolExecutor(5) as pool:
        statuses = list(pool.map(post, range(10)))
    assert 302 in statuses
    assert set(statuses) <= {302, 409}
    assert Operation.objects.count() == 3
    assert len(sent(inventory, 1)) == 2


def test_the_same_key_with_another_policy_is_rejected(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    first, second, *_rest = on_target(inventory, failed)
    me.post(page_of(failed), change_form(unbind=first))
    response = me.post(page_of(failed), change_form(unbind=second))
    assert response.status_code == 409
    assert f"already sent as {pair()[0]}" in response.text
    assert second in on_target(inventory, failed)


def test_two_users_replace_once(
    me: Client, policyadmin: Client, failed: Operation, inventory: Cloud
) -> None:
    first, second, *_rest = on_target(inventory, failed)
    inventory.fault("UnbindDevicePolicy", "throttle", retry_after=60)
    me.post(page_of(failed), change_form(unbind=first))
    form = change_form(unbind=second, key=OTHER_KEY)
    response = policyadmin.post(page_of(failed), form)
    assert response.status_code == 409
    assert f"{pair()[1]} by admin has been changing" in response.text
    assert Operation.objects.count() == 3


# Who may


def test_the_page_of_another_resource_space_does_not_exist(
    failed: Operation, inventory: Cloud
) -> None:
    other = Client()
    other.force_login(make_user("policy admin", inventory.known_ids["other_space"]))
    form = change_form(unbind=on_target(inventory, failed)[0])
    assert other.get(page_of(failed)).status_code == 404
    assert other.post(page_of(failed), form).status_code == 404
    assert Operation.objects.count() == 1


def test_a_target_that_left_the_resource_spaces_is_denied_and_recorded(
    failed: Operation, inventory: Cloud
) -> None:
    user = make_user("policy admin", inventory.known_ids["space"])
    mine = Client()
    mine.force_login(user)
    Device.objects.update(app_id=inventory.known_ids["other_space"])
    form = change_form(unbind=on_target(inventory, failed)[0])
    for response in (mine.get(page_of(failed)), mine.post(page_of(failed), form)):
        assert response.status_code == 403
    assert Event.objects.filter(kind="denied", actor_name=user.username).count() == 2
    assert Operation.objects.count() == 1


def test_policies_of_other_resource_spaces_are_counted_but_not_named(
    failed: Operation, inventory: Cloud
) -> None:
    hidden, *_visible = on_target(inventory, failed)
    space, other = inventory.known_ids["space"], inventory.known_ids["other_space"]
    foreign = Policy.objects.filter(app_id=other).values_list("pk", flat=True)[0]
    unbind_elsewhere(inventory, failed, hidden)
    bind_elsewhere(inventory, foreign, failed.targets.get().target_id)
    mine = Client()
    mine.force_login(make_user("policy admin", space))
    text = mine.get(page_of(failed)).text
    assert len(choices(text)) == 4
    assert foreign not in text
    assert "1 more is in a resource space that you may not see." in text_of(text)
    response = mine.post(page_of(failed), change_form(unbind=foreign))
    assert response.status_code == 409
    assert Operation.objects.count() == 1


@pytest.mark.parametrize("role", ["viewer", "operator", "auditor"])
def test_a_role_without_the_permission_is_offered_nothing(
    failed: Operation, role: str
) -> None:
    user = make_user(role)
    client = Client()
    client.force_login(user)
    assert client.get(page_of(failed)).status_code == 403
    assert client.post(page_of(failed), change_form()).status_code == 403
    assert "Replace a policy" not in client.get(failed.get_absolute_url()).text


# Kinds of targets


def full_target(start: Start, cloud: Cloud, kind: str) -> Operation:
    """Return a failed bind of a product or a resource space."""
    target = cloud.known_ids["product" if kind == "product" else "space"]
    space = cloud.known_ids["space"]
    policy = cloud.known_ids["policy"]
    others = Policy.objects.filter(app_id=space).exclude(pk=policy)
    for other in others[:5]:
        bind_elsewhere(cloud, other.pk, target, kind)
    unbind = {"policy_id": policy, "target_id": target, "target_type": kind}
    cloud.call("DELETE", "bindings", params=unbind)
    operation = start("policy.bind", target, policy="policy", target_type=kind)
    assert operation.targets.get().error_code == "IOTDA.015204"
    return operation


@pytest.mark.parametrize("kind", ["product", "app"])
def test_policies_of_products_and_spaces_are_replaced(
    me: Client, start_operation: Start, inventory: Cloud, kind: str
) -> None:
    failed = full_target(start_operation, inventory, kind)
    page = me.get(page_of(failed)).text
    assert sorted(choices(page)) == on_target(inventory, failed)
    assert "This reaches" in page
    name = Space.objects.get(pk=inventory.known_ids["space"]).name
    form = change_form(unbind=choices(page)[0])
    if kind == "app":
        response = me.post(page_of(failed), form | {"typed": "another"})
        assert response.status_code == 422
        assert "exactly as it is shown" in response.text
        assert Operation.objects.count() == 1
        form["typed"] = name
    me.post(page_of(failed), form)
    unbind, bind = pair()
    assert (outcome_counts(unbind), outcome_counts(bind)) == ({"ok": 1}, {"ok": 1})
    assert {unbind.target_type, bind.target_type} == {kind}
    assert failed.policy_id in on_target(inventory, failed)


def test_a_whole_space_needs_its_own_permission(
    start_operation: Start, inventory: Cloud
) -> None:
    failed = full_target(start_operation, inventory, "app")
    user = make_user("policy admin")
    group = user.groups.get()
    group.permissions.remove(*group.permissions.filter(codename="bind_space"))
    client = Client()
    client.force_login(user)
    assert client.get(page_of(failed)).status_code == 403
    assert "Replace a policy" not in client.get(failed.get_absolute_url()).text


def test_other_full_targets_stay_offered_while_one_waits(
    me: Client, start_operation: Start, inventory: Cloud
) -> None:
    full, second = inventory.known_ids["full"], inventory.free(1)[0]
    for policy in Binding.objects.filter(target_id=full).values_list(
        "policy", flat=True
    ):
        bind_elsewhere(inventory, policy, second)
    failed = start_operation("policy.bind", full, second, policy="policy")
    assert target_states(failed) == {full: "failed", second: "failed"}
    chosen = choices(me.get(f"/policies/replace.for/{failed.pk}/{full}/").text)[0]
    inventory.fault("UnbindDevicePolicy", "throttle", retry_after=60)
    form = change_form(unbind=chosen)
    me.post(f"/policies/replace.for/{failed.pk}/{full}/", form)
    page = me.get(failed.get_absolute_url()).text
    assert f"/replace.for/{failed.pk}/{full}/" not in page
    assert f"/replace.for/{failed.pk}/{second}/" in page


@pytest.mark.parametrize("state", ["ok", "unknown", "skipped"])
def test_only_full_targets_have_the_page(
    me: Client, failed: Operation, state: str
) -> None:
    Target.objects.update(state=state)
    assert me.get(page_of(failed)).status_code == 404


def test_the_form_is_kept_when_the_session_has_ended(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    chosen = on_target(inventory, failed)[0]
    owner = re.search(r'name="shown_to" value="([^"]+)"', me.get(page_of(failed)).text)
    assert owner
    form = change_form(unbind=chosen, shown_to=owner[1], key=KEY)
    url = Client().post(page_of(failed), form)["Location"]
    assert "kept" in url
    kept = re.search(r"kept%3D(\w+)", url)
    assert kept
    text = me.get(f"{page_of(failed)}?kept={kept[1]}").text
    assert re.search(rf'value="{chosen}"[^>]*checked', text)
    assert 'value="billing dispute"' in text
    assert Operation.objects.count() == 1
