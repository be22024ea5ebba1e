"""Users see and change only objects in their resource spaces."""

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from devices.models import Device, Product, Space
from iotda_admin.access.actor import Actor
from iotda_admin.access.models import EVERY_SPACE, Grant
from iotda_admin.audit.models import Event
from iotda_admin.operations.execution.executor import execute_chunk
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.services import NotAllowed
from iotda_admin.rate import connection as iotda
from policies.models import Binding, Policy
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import (
    bind_form,
    change_form,
    create,
    make_iotda_unreachable,
    run_workers,
    target_error_codes,
    target_states,
    write_requests,
)

ROLES = ["viewer", "operator", "policy admin", "auditor", "admin"]


class Places:
    """The simulated platform's spaces: the user's own, and another one."""

    def __init__(self, inventory: Any) -> None:
        self.free = inventory.known_ids["free_by_space"]
        self.policy = inventory.known_ids["policy"]
        self.home = Policy.objects.get(pk=self.policy).app_id
        self.other = next(space for space in self.free if space != self.home)
        self.near, self.near_too = self.free[self.home][:2]
        self.far = self.free[self.other][0]


@pytest.fixture
def places(inventory: Cloud) -> Places:
    return Places(inventory)


@pytest.fixture
def local(places: Places) -> Callable[..., Any]:
    """Sign in a user with a role whose only space is `home` unless others are given."""

    def local(role: str, *spaces: str) -> Any:
        client: Any = Client()
        client.user = make_user(role, *(spaces or [places.home]))
        client.force_login(client.user)
        return client

    return local


@pytest.fixture
def denied(db: None) -> Callable[..., Any]:
    """Return the denied attempts recorded since the test began."""
    since = Event.objects.count()
    return lambda: list(
        Event.objects.filter(kind="denied", id__gt=since).order_by("id")
    )


def begun(user: Any, *ids: Any, verb: str = "device.freeze", **about: Any) -> Operation:
    return create(verb, ids, Actor(user, "", "test"), **about)


def test_a_permission_is_checked_in_a_space(places: Places) -> None:
    user = make_user("operator", places.home)
    # The stubs expect a model instance; our backend takes the ID of a resource space.
    assert user.has_perm("devices.freeze_device", places.home)  # type: ignore[arg-type]
    assert not user.has_perm("devices.freeze_device", places.other)
    assert not user.has_perm("policies.bind_policy", places.home)  # type: ignore[arg-type]


def test_a_user_without_a_space_sees_no_device(local: Callable[..., Any]) -> None:
    client = local("admin", "none-such")
    assert re.search(r">\s*0 devices\s*<", client.get("/devices/").text)
    assert "in 0 spaces, 0 products" in words_of(client.get("/"))


def words_of(page: Any) -> str:
    return " ".join(page.text.split())


def test_the_overview_counts_one_space_and_one_product(
    local: Callable[..., Any], places: Places
) -> None:
    Product.objects.filter(app_id=places.home).delete()
    Product.objects.create(product_id="meter", name="Meter", app_id=places.home)
    assert "in 1 space, 1 product<" in words_of(local("viewer").get("/")).replace(
        " <", "<"
    )


def test_a_superuser_needs_no_grant(places: Places) -> None:
    boss = User.objects.create_superuser("boss")
    assert boss.has_perm("devices.freeze_device", places.other)
    assert begun(boss, places.far, "nobody-knows").targets.count() == 2


def test_lists_filters_and_counts_cover_only_the_users_spaces(
    local: Callable[..., Any], places: Places
) -> None:
    client, mine = local("viewer"), Device.objects.filter(app_id=places.home)
    page = client.get("/devices/").text
    assert re.search(rf">\s*{mine.count()} devices\s*<", page)
    assert str(Space.objects.get(pk=places.home)) in page
    assert str(Space.objects.get(pk=places.other)) not in page
    assert str(Product.objects.filter(app_id=places.other)[0]) not in page
    found = client.get(f"/devices/?q={places.far}").text
    assert re.search(r">\s*0 devices\s*<", found)
    assert "Any space: Select a valid choice" not in page
    assert (
        "This filter finds nothing"
        in client.get(f"/devices/?space={places.other}").text
    )
    assert f"<b>{mine.count()}</b>" in client.get("/").text


def test_an_unknown_device_looks_like_one_of_another_space_while_iotda_is_down(
    local: Callable[..., Any], places: Places, settings: Settings
) -> None:
    client = local("viewer")
    make_iotda_unreachable(settings)
    assert client.get(f"/devices/{places.near}/").status_code == 503
    assert client.get(f"/devices/{places.far}/").status_code == 404
    assert client.get("/devices/nobody-knows/").status_code == 404
    assert client.get("/policies/6666666666666666/").status_code == 404


def test_ids_of_other_spaces_and_unknown_ids_get_the_same_message(
    local: Callable[..., Any],
    places: Places,
    denied: Callable[..., Any],
    inventory: Cloud,
) -> None:
    client, ids = local("operator"), [places.near, places.far, "nobody-knows"]
    response = client.post(
        "/devices/selection.freeze/", change_form(pasted="\n".join(ids))
    )
    assert response.status_code == 403
    said = ", ".join(sorted([places.far, "nobody-knows"]))
    assert f"These 2 IDs are not in your resource spaces: {said}" in response.text
    assert denied()[0].detail["outside"] == sorted([places.far, "nobody-knows"])
    assert not Operation.objects.exists()
    assert not write_requests(inventory)


@pytest.mark.parametrize("act", ["freeze", "unbind"])
def test_a_denied_preview_is_recorded_once(
    local: Callable[..., Any],
    places: Places,
    denied: Callable[..., Any],
    inventory: Cloud,
    act: str,
) -> None:
    role = "operator" if act == "freeze" else "policy admin"
    policy = Policy.objects.filter(app_id=places.home).first()
    url = (
        "/devices/selection.freeze/"
        if act == "freeze"
        else f"/policies/{policy.pk}/unbind/"
    )
    look = local(role).post(
        url, {"target": [places.near, places.far], "target_type": "device"}
    )
    assert look.status_code == 403
    (event,) = denied()
    assert (event.detail["outside"], event.space, event.outcome) == (
        [places.far],
        "*",
        "denied",
    )
    assert event.verb.endswith(act)


def numbers(client: Any, target: Any) -> set[Any]:
    page = client.get("/audit/", {"target": target, "outcome": "denied"}).text
    return {int(number) for number in re.findall(r'href="/audit/([0-9]+)/"', page)}


def test_only_readers_of_all_spaces_find_a_denied_attempt_by_its_target(
    local: Callable[..., Any], places: Places, denied: Callable[..., Any]
) -> None:
    operator, policy = (
        local("operator"),
        Policy.objects.filter(app_id=places.other)[0].pk,
    )
    many = [*(f"another-{n}" for n in range(10)), places.near, places.far]
    operator.post("/devices/selection.freeze/", change_form(target=many))
    operator.get(f"/devices/{places.far}/")
    operator.get(f"/policies/{policy}/")
    of_the_request, of_device, of_policy = (event.pk for event in denied())
    boss, auditor = local("admin", EVERY_SPACE), local("auditor")
    assert numbers(boss, places.far) == {of_the_request, of_device}
    assert numbers(boss, policy) == {of_policy}
    assert numbers(auditor, places.far) | numbers(auditor, policy) == set()


def test_the_event_names_targets_of_other_spaces_first(
    local: Callable[..., Any], places: Places, denied: Callable[..., Any]
) -> None:
    inside = Device.objects.filter(app_id=places.home).values_list("pk", flat=True)[:30]
    local("operator").post(
        "/devices/selection.freeze/", change_form(target=[*inside, "zzz-elsewhere"])
    )
    named = [target.target_id for target in denied()[0].outcomes.all()]
    assert (named[0], len(named)) == ("zzz-elsewhere", 20)


def test_the_event_names_the_first_of_many_ids_and_counts_all(
    places: Places, denied: Callable[..., Any]
) -> None:
    with pytest.raises(NotAllowed, match=r"These 30 IDs .* … \(\+10\)"):
        begun(
            make_user("operator", places.home), *[f"elsewhere-{n}" for n in range(30)]
        )
    (event,) = denied()
    assert (len(event.detail["outside"]), event.detail["outside_count"]) == (20, 30)


@pytest.mark.parametrize("kind", ["product", "app"])
def test_a_policy_cannot_be_bound_to_products_or_spaces_out_of_scope(
    local: Callable[..., Any], places: Places, inventory: Cloud, kind: str
) -> None:
    client = local("policy admin")
    space = Space.objects.get(pk=places.other)
    id = (
        Product.objects.filter(app_id=places.other)[0].pk
        if kind == "product"
        else space.pk
    )
    form = bind_form(places.policy, id, target_type=kind, space_name=space.name)
    response = client.post("/policies/selection.bind/", form)
    assert response.status_code == (403 if kind == "product" else 422)
    assert not Operation.objects.exists()
    assert not write_requests(inventory)


def test_the_name_of_another_space_is_not_shown(
    local: Callable[..., Any], places: Places
) -> None:
    form = bind_form(
        places.policy, places.other, target_type="app", space_name="a guess"
    )
    text = local("policy admin").post("/policies/selection.bind/", form).text
    assert "not in the inventory" in text
    assert str(Space.objects.get(pk=places.other)) not in text


def test_create_operation_rejects_a_space_out_of_scope(places: Places) -> None:
    user, about = (
        make_user("policy admin", places.home),
        {"target_type": "app", "policy_id": places.policy},
    )
    with pytest.raises(NotAllowed, match=places.other):
        begun(user, places.other, verb="policy.bind", **about)


def test_a_policy_of_another_space_cannot_be_bound(places: Places) -> None:
    user = make_user("policy admin", places.other)
    with pytest.raises(NotAllowed, match=places.policy):
        begun(user, places.far, verb="policy.bind", policy_id=places.policy)


def test_a_policy_of_the_whole_instance_is_visible_to_every_user(
    local: Callable[..., Any], places: Places
) -> None:
    Policy.objects.filter(pk=places.policy).update(app_id="")
    client = local("policy admin", places.other)
    row = Policy.objects.get(pk=places.policy)
    assert row.name in client.get("/policies/").text
    assert (
        begun(
            client.user, places.far, verb="policy.bind", policy_id=row.pk
        ).targets.count()
        == 1
    )


def test_a_policy_page_shows_and_counts_only_targets_in_scope(
    local: Callable[..., Any], places: Places
) -> None:
    Policy.objects.filter(pk=places.policy).update(app_id="")
    Binding.objects.filter(policy=places.policy).delete()
    for target in (places.near, places.far):
        Binding.objects.create(
            policy_id=places.policy, target_type="device", target_id=target
        )
    client = local("viewer")
    row = (
        client.get("/policies/").text.partition(places.policy)[2].partition("</tr>")[0]
    )
    assert '<td data-label="Bound to" class="num">1</td>' in row
    unbind = client.get(f"/policies/{places.policy}/").text.partition('id="targets"')[2]
    assert places.near in unbind
    assert places.far not in unbind


def test_the_bind_form_shows_nothing_of_other_spaces(
    local: Callable[..., Any], places: Places
) -> None:
    client = local("policy admin")
    for _n in range(5):
        Binding.objects.create(
            policy_id=f"p{_n}", target_type="device", target_id=places.far
        )
    look = {
        "act": "find",
        "target_type": "device",
        "q": places.far,
        "target": [places.far],
    }
    text = client.post("/policies/selection.bind/", look).text
    assert f'id="add-{places.far}"' not in text
    assert "5 of 5" not in text
    assert "not in the inventory" in text
    assert f"not in your resource spaces: {places.far}" in text


def test_an_operation_is_visible_only_to_users_with_all_of_its_spaces(
    local: Callable[..., Any], places: Places, actor: Actor
) -> None:
    client = local("auditor")
    both = begun(actor.user, places.near, places.far)
    assert client.get(both.get_absolute_url()).status_code == 404
    assert str(both) not in client.get("/operations/").text + client.get("/").text
    # Everyone who may see the device learns who changed it and why, but not what else.
    page = client.get(f"/devices/{places.near}/").text
    assert ("because" in page, str(both) in page) == (True, True)
    assert both.get_absolute_url() not in page
    Grant.objects.create(user=client.user, app_id=places.other)
    assert client.get(both.get_absolute_url()).status_code == 200
    assert "because" in client.get(f"/devices/{places.near}/").text


def test_an_operation_on_unknown_targets_is_visible_only_with_every_space(
    local: Callable[..., Any], places: Places, actor: Actor
) -> None:
    operation = begun(actor.user, places.near, "nobody-knows")
    assert {each.app_id for each in operation.spaces.all()} == {places.home, ""}
    assert local("auditor").get(operation.get_absolute_url()).status_code == 404


def test_each_way_to_create_an_operation_records_its_spaces(
    local: Callable[..., Any], places: Places
) -> None:
    def spaces() -> set[Any]:
        return {each.app_id for each in Operation.objects.latest("id").spaces.all()}

    local("operator", EVERY_SPACE).post(
        "/devices/selection.freeze/", change_form(target=[places.near, "x", places.far])
    )
    assert spaces() == {places.home, places.other, ""}
    client = local("policy admin", EVERY_SPACE)
    client.post("/policies/selection.bind/", bind_form(places.policy, places.near))
    assert spaces() == {places.home}
    client.post(
        "/policies/selection.bind/",
        bind_form(places.policy, places.far, key="d" * 32, other_space="on"),
    )
    assert spaces() == {places.home, places.other}  # with the policy's own space


def test_the_history_of_a_policy_covers_only_the_users_spaces(
    local: Callable[..., Any], places: Places, actor: Actor
) -> None:
    Policy.objects.filter(pk=places.policy).update(app_id="")
    begun(actor.user, places.far, verb="policy.bind", policy_id=places.policy)
    assert (
        "No operations yet." in local("viewer").get(f"/policies/{places.policy}/").text
    )


def test_a_user_who_lost_a_space_no_longer_sees_or_sends_their_operation(
    local: Callable[..., Any], places: Places, inventory: Cloud
) -> None:
    client = local("operator")
    operation = begun(client.user, places.near, places.near_too)
    execute_chunk(operation.chunks.first(), iotda.client())
    client.user.grants.all().delete()
    run_workers()
    assert sorted(target_states(operation).values()) == ["ok", "skipped"]
    operation.refresh_from_db()
    assert "no longer has access to all resource spaces" in operation.stop_message
    assert len(write_requests(inventory)) == 1
    assert client.get(operation.get_absolute_url()).status_code == 404
    assert (
        client.post(f"{operation.get_absolute_url()}undo/", change_form()).status_code
        == 404
    )


@pytest.fixture
def moved(places: Places, inventory: Cloud) -> Callable[..., Any]:
    """The device has moved to another space and is frozen; the inventory is older."""
    there = Product.objects.filter(app_id=places.other)[0].pk

    def moved(device: Any, status: Any) -> None:
        inventory.call(
            "PATCH", f"devices/{device}", json={"product_id": there, "status": status}
        )

    return moved


@pytest.mark.parametrize(
    ("verb", "status"),
    [("freeze", "ONLINE"), ("freeze", "FROZEN"), ("unfreeze", "FROZEN")],
)
def test_a_device_that_moved_after_the_last_sync_is_not_changed(
    local: Callable[..., Any],
    places: Places,
    moved: Callable[..., Any],
    inventory: Cloud,
    verb: str,
    status: str,
) -> None:
    operation = begun(
        local("operator").user, places.near, places.near_too, verb=f"device.{verb}"
    )
    moved(places.near, status)
    run_workers()
    assert target_error_codes(operation)[places.near] == "moved_elsewhere"
    assert target_states(operation)[places.near] == "failed"
    assert inventory.status(places.near) == status
    assert Device.objects.get(pk=places.near).app_id == places.other


def test_the_error_for_a_moved_device_does_not_reveal_it(
    local: Callable[..., Any], places: Places, moved: Callable[..., Any]
) -> None:
    moved(places.near, "FROZEN")
    client = local("operator")
    text = client.post(
        f"/devices/{places.near}/freeze/", change_form(), follow=True
    ).text
    assert "the device was moved to a resource space outside" in text
    assert str(Space.objects.get(pk=places.other)) not in text


def test_a_moved_device_is_changed_by_a_user_with_both_spaces(
    local: Callable[..., Any], places: Places, moved: Callable[..., Any]
) -> None:
    operation = begun(local("operator", places.home, places.other).user, places.near)
    everywhere = begun(local("admin", EVERY_SPACE).user, places.near_too)
    for device in (places.near, places.near_too):
        moved(device, "ONLINE")
    run_workers()
    assert {
        *target_states(operation).values(),
        *target_states(everywhere).values(),
    } == {"ok"}


def test_the_command_line_acts_in_every_space(
    places: Places, moved: Callable[..., Any]
) -> None:
    actor = Actor(None, "", "cli", name="root")
    operation = create("device.freeze", [places.far, "x"], actor)
    moved(places.far, "ONLINE")
    run_workers()
    assert target_states(operation) == {places.far: "ok", "x": "failed"}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("where", ["near", "far"])
def test_a_single_target_and_a_list_have_the_same_permissions(
    role: str, where: str, local: Callable[..., Any], places: Places, inventory: Cloud
) -> None:
    client, id = local(role), getattr(places, where)
    may = role in ("operator", "admin") and where == "near"
    alone = client.post(f"/devices/{id}/freeze/", change_form())
    listed = client.post(
        "/devices/selection.unfreeze/", change_form(target=[id], key="e" * 32)
    )
    assert [response.status_code < 400 for response in (alone, listed)] == [may, may]
    assert len(write_requests(inventory)) == (2 if may else 0)


def test_a_deactivated_user_is_signed_out_at_the_next_request(
    local: Callable[..., Any],
) -> None:
    client = local("operator")
    assert client.get("/devices/").status_code == 200
    User.objects.filter(pk=client.user.pk).update(is_active=False)
    assert client.get("/devices/").status_code == 302


def test_existing_users_were_granted_every_space(places: Places) -> None:
    then = MigrationExecutor(connection).loader.project_state(
        [("accounts", "0003_caps_and_grants")]
    )
    user = User.objects.create_user("veteran")
    import_module(
        "iotda_admin.accounts.migrations.0003_caps_and_grants"
    ).grant_everything(then.apps, None)
    assert [grant.app_id for grant in user.grants.all()] == [EVERY_SPACE]


def test_a_list_needs_no_more_queries_for_a_user_with_few_spaces(
    local: Callable[..., Any],
    places: Places,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    client = local("operator", places.home, places.other, "third")
    client.get("/devices/")
    with django_assert_max_num_queries(14):
        client.get("/devices/")


def test_the_user_can_continue_with_the_targets_in_scope(
    local: Callable[..., Any], places: Places
) -> None:
    client, ids = local("operator"), [places.near, places.far]
    page = client.post("/devices/selection.freeze/", {"target": ids}).text
    assert "Continue with the other 1 device" in page
    assert re.findall(r'name="target" value="([^"]+)"', page) == [places.near]
    assert (
        "Freeze 1 device"
        in client.post("/devices/selection.freeze/", {"target": [places.near]}).text
    )


def test_policies_of_other_spaces_on_a_device_are_counted_but_not_named(
    local: Callable[..., Any], places: Places
) -> None:
    secret = Policy.objects.create(
        policy_id="elsewhere", name="secret plan", app_id=places.other
    )
    Binding.objects.create(policy=secret, target_type="device", target_id=places.near)
    page = local("viewer").get(f"/policies/of.device/{places.near}/").text
    assert "secret plan" not in page
    assert "1 of 5 used on the device itself" in page


def test_the_history_of_a_device_does_not_name_a_policy_of_another_space(
    local: Callable[..., Any], places: Places
) -> None:
    begun(
        make_user("admin"),
        places.near,
        verb="policy.bind",
        policy_id=secret(places),
        policy_name="secret plan",
    )
    page = local("viewer").get(f"/devices/{places.near}/").text
    assert ("Waiting" in page, "secret plan" in page) == (True, False)


def test_bindings_of_a_policy_of_another_space_cannot_be_requested(
    local: Callable[..., Any], places: Places
) -> None:
    Binding.objects.create(
        policy_id=secret(places), target_type="device", target_id=places.near
    )
    chosen = {
        "policy": "elsewhere",
        "target_type": "device",
        "target": places.near,
        "q": places.near,
    }
    for role, allowed in (("policy admin", False), ("admin", True)):
        client = local(role, places.home if role == "policy admin" else EVERY_SPACE)
        assert (
            "has it already" in client.post("/policies/selection.bind/", chosen).text
        ) == allowed


def secret(places: Places) -> Any:
    return Policy.objects.create(
        policy_id="elsewhere", name="secret plan", app_id=places.other
    ).pk


def test_the_trail_shows_a_reader_of_some_spaces_nothing_of_others(
    local: Callable[..., Any], places: Places
) -> None:
    boss, auditor = local("admin", EVERY_SPACE), local("auditor")
    failed = begun(boss.user, places.far)
    chosen = {
        "target": [failed.targets.get().pk],
        "save": "1",
        "note": "noted",
        "reason": "solved",
    }
    Target.objects.update(state="failed", error_code="IOTDA.014000")
    for act in ("note", "solve"):
        boss.post(f"/failures/{act}/", chosen)
    boss.get(f"/operations/{failed.pk}/failures.csv")
    with pytest.raises(NotAllowed):
        begun(local("operator", places.other).user, places.near, places.far)
    with pytest.raises(NotAllowed):
        begun(local("viewer", places.other).user, places.far)
    kinds = [
        "operation.asked",
        "failure.noted",
        "failure.solved",
        "export",
        "denied",
        "denied",
    ]
    events = Event.objects.filter(kind__in=kinds).order_by("id")
    assert [event.kind for event in events] == kinds
    assert {event.space for event in events} == {places.other, "*"}
    assert [auditor.get(f"/audit/{event.pk}/").status_code for event in events] == [
        404
    ] * len(kinds)
    assert boss.get(f"/audit/{events[1].pk}/").status_code == 200


def test_events_of_unknown_spaces_are_visible_only_with_every_space(
    local: Callable[..., Any], places: Places, actor: Actor
) -> None:
    begun(actor.user, "no-such-device")
    assert Event.objects.get(kind="operation.asked").space == "*"


def test_a_grant_of_another_space_is_visible_only_with_every_space(
    local: Callable[..., Any], places: Places
) -> None:
    user, auditor = local("viewer").user, local("auditor")
    for space, status in ((places.home, 200), (places.other, 404)):
        Grant.objects.filter(user=user).delete()
        Grant.objects.create(user=user, app_id=space)
        event = Event.objects.filter(kind="account.changed").latest("id")
        assert auditor.get(f"/audit/{event.pk}/").status_code == status


def test_an_attempt_to_open_an_object_of_another_space_is_recorded(
    local: Callable[..., Any], places: Places, denied: Callable[..., Any]
) -> None:
    client = local("viewer")
    for device in (places.far, "never-existed"):
        assert client.get(f"/devices/{device}/").status_code == 404
    assert [(event.summary, event.space) for event in denied()] == [
        (f"/devices/{places.far}/", "*"),
        ("/devices/never-existed/", "*"),
    ]
