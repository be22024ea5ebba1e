"""Who may replace which policies of which kinds of targets."""

import pytest
from django.test import Client

from devices.models import Device, Space
from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Operation, Target
from policies.models import Binding, Policy
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import (
    change_form,
    outcome_counts,
    target_states,
)
from tests.policies.replacement.conftest import (
    Start,
    bind_elsewhere,
    choices,
    on_target,
    page_of,
    pair,
    text_of,
    unbind_elsewhere,
)


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
