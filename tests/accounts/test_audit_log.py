"""Each change of a user or role is an audit event with actor, old and new values."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client

from iotda_admin.access.actor import system_user
from iotda_admin.access.models import Grant, RoleLimit
from iotda_admin.audit.models import Event
from tests.cloud import Cloud
from tests.conftest import make_user


@pytest.fixture
def account_events(db: None) -> Callable[..., Any]:
    """Return the account events recorded since the test began."""
    since = Event.objects.count()

    def events() -> list[Any]:
        return list(
            Event.objects.filter(kind="account.changed", id__gt=since).order_by("id")
        )

    return events


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss", is_staff=True))
    return client


def form_of(user: Any, **more: Any) -> Any:
    """The admin's form for a user, as a browser sends it."""
    rows = list(user.grants.all())
    form = {
        "username": user.username,
        "is_active": "on",
        "groups": [g.pk for g in user.groups.all()],
    }
    form |= {"grants-TOTAL_FORMS": len(rows), "grants-INITIAL_FORMS": len(rows)}
    for n, grant in enumerate(rows):
        form |= {
            f"grants-{n}-id": grant.pk,
            f"grants-{n}-user": user.pk,
            f"grants-{n}-app_id": grant.app_id,
        }
    return form | more


def test_one_form_changes_roles_spaces_and_names_with_an_event_each(
    boss: Client, account_events: Callable[..., Any], inventory: Cloud
) -> None:
    user, space = make_user("viewer"), inventory.known_ids["space"]
    since = len(account_events())
    form = form_of(
        user, email="v@example.com", groups=[Group.objects.get(name="operator").pk]
    )
    assert (
        boss.post(
            f"/admin/auth/user/{user.pk}/change/", form | {"grants-0-app_id": space}
        ).status_code
        == 302
    )
    events = account_events()[since:]
    changes = {
        name: pair for event in events for name, pair in event.detail["changes"].items()
    }
    assert changes["email"] == ["", "v@example.com"]
    assert changes["groups"] in (
        ["viewer", "operator"],
        [["operator"], ["operator"]],
        [[], ["operator"]],
    )
    assert changes["spaces"][0] == ["every space"]
    assert space in changes["spaces"][1][0]
    assert {
        (event.actor_name, event.source, event.detail["name"]) for event in events
    } == {("boss", "web", "viewer")}


def test_a_user_is_created_with_a_space_chosen_by_name(
    boss: Client, account_events: Callable[..., Any], inventory: Cloud
) -> None:
    page = boss.get("/admin/auth/user/add/").text
    user = User.objects.create_user("new")
    page = boss.get(f"/admin/auth/user/{user.pk}/change/").text
    assert f'<option value="{inventory.known_ids["space"]}">plant-north · ' in page
    assert 'value="*"' in page
    form = form_of(
        user,
        **{"grants-TOTAL_FORMS": 1, "grants-0-user": user.pk, "grants-0-app_id": "*"},
    )
    boss.post(f"/admin/auth/user/{user.pk}/change/", form)
    assert [grant.app_id for grant in user.grants.all()] == ["*"]
    assert account_events()[-1].detail["changes"] == {"spaces": [[], ["every space"]]}


def test_a_changed_password_is_recorded_but_never_shown(
    boss: Client, account_events: Callable[..., Any]
) -> None:
    user = make_user("viewer")
    secret = "correct-horse-battery"
    form = {"password1": secret, "password2": secret, "usable_password": "true"}
    assert boss.post(f"/admin/auth/user/{user.pk}/password/", form).status_code == 302
    user.refresh_from_db()
    event = account_events()[-1]
    assert event.detail["changes"] == {"password": ["kept secret", "changed"]}
    said = f"{event.summary} {event.detail}"
    assert secret not in said
    assert user.password not in said


def test_a_change_by_manage_py_is_recorded_with_the_system_user(
    account_events: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct-horse-battery")
    call_command(
        "createsuperuser", username="root", email="", interactive=False, verbosity=0
    )
    (event,) = account_events()
    assert (event.source, event.actor_name) == ("cli", system_user())
    assert event.detail["changes"]["is_superuser"] == [None, True]


def test_signing_in_records_no_change(
    account_events: Callable[..., Any], db: None
) -> None:
    make_user("viewer")
    before = len(account_events())
    assert Client().login(username="viewer", password="a-password-1")
    assert len(account_events()) == before


def test_rehashing_the_same_password_is_not_a_change(
    account_events: Callable[..., Any], db: None
) -> None:
    user = User.objects.create_user("viewer")
    # At a sign-in Django hashes a password again if its salt is too short.
    old = make_password("a-password-1", salt="short")
    User.objects.filter(pk=user.pk).update(password=old)
    before = len(account_events())
    assert Client().login(username="viewer", password="a-password-1")
    assert User.objects.get(pk=user.pk).password != old
    assert len(account_events()) == before


def test_changed_permissions_and_limit_of_a_role_are_recorded(
    boss: Client, account_events: Callable[..., Any]
) -> None:
    role = Group.objects.get(name="operator")
    freeze = Permission.objects.get(codename="freeze_device")
    form = {
        "name": "operator",
        "permissions": [freeze.pk],
        "limit-TOTAL_FORMS": 1,
        "limit-INITIAL_FORMS": 1,
    }
    form |= {
        "limit-0-id": role.limit.pk,
        "limit-0-group": role.pk,
        "limit-0-targets": 50,
    }
    assert boss.post(f"/admin/auth/group/{role.pk}/change/", form).status_code == 302
    changes = {
        name: pair
        for event in account_events()
        for name, pair in event.detail["changes"].items()
    }
    assert changes["permissions"][1] == ["devices.freeze_device"]
    assert "operations.view_own_operation" in changes["permissions"][0]
    assert changes["limit"] == [1000, 50]


def test_links_are_recorded_from_either_end_and_when_cleared(
    account_events: Callable[..., Any], db: None
) -> None:
    user, role = make_user("viewer"), Group.objects.get(name="operator")
    before = len(account_events())
    role.user_set.add(user)
    user.groups.clear()
    user.user_permissions.set(Permission.objects.filter(codename="freeze_device"))
    role.delete()
    said = [event.summary for event in account_events()[before:]]
    assert said[:3] == [
        "user viewer: groups: viewer → operator, viewer",
        "user viewer: groups: operator, viewer → none",
        "user viewer: user_permissions: none → devices.freeze_device",
    ]
    assert said[3].startswith("role operator: name: operator → none")


def test_a_revoked_space_is_recorded(
    account_events: Callable[..., Any], db: None
) -> None:
    user = make_user("viewer", "one", "two")
    before = len(account_events())
    Grant.objects.get(user=user, app_id="two").delete()
    RoleLimit.objects.create(group=Group.objects.get(name="viewer"), targets=5).delete()
    assert [event.detail["changes"] for event in account_events()[before:]] == [
        {"spaces": [["one", "two"], ["one"]]},
        {"limit": [None, 5]},
        {"limit": [5, None]},
    ]


def test_nothing_changes_if_the_event_cannot_be_written(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user("viewer")
    boss.raise_request_exception = False
    monkeypatch.setattr("iotda_admin.audit.chain.insert_event_rows", refuse)
    assert (
        boss.post(
            f"/admin/auth/user/{user.pk}/change/", form_of(user, email="v@example.com")
        ).status_code
        >= 500
    )
    user.refresh_from_db()
    assert user.email == ""


def refuse(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("the disk is full")


def test_an_account_cannot_be_deleted(boss: Client) -> None:
    user = make_user("viewer")
    assert (
        boss.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"}).status_code
        == 403
    )
    action = {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
    boss.post("/admin/auth/user/", action)
    assert User.objects.filter(pk=user.pk).exists()


def found(client: Any, **asked: Any) -> set[Any]:
    """Return the events that the trail page links to."""
    page = client.get("/audit/", asked, follow=True).text
    return {int(number) for number in re.findall(r'href="/audit/([0-9]+)/"', page)}


def test_a_search_for_a_user_finds_who_changed_their_roles(
    boss: Client, account_events: Callable[..., Any]
) -> None:
    user = make_user("viewer")
    user.groups.add(Group.objects.get(name="operator"))
    gave = account_events()[-1]
    assert gave.pk in found(boss, target="viewer")
    assert gave.pk in found(boss, q="viewer")
    assert gave.pk not in found(boss, target="boss")


def test_a_renamed_user_is_found_by_both_names(
    boss: Client, account_events: Callable[..., Any]
) -> None:
    user = make_user("viewer")
    user.username = "ada"
    user.save()
    renamed = account_events()[-1]
    assert renamed.pk in found(boss, target="viewer") & found(boss, target="ada")


def test_a_search_for_a_user_finds_their_actions_and_links_to_changes_of_them(
    boss: Client,
) -> None:
    page = boss.get("/audit/", {"q": "boss"}, follow=True)
    assert page.redirect_chain == [("/audit/?actor=boss", 302)]
    assert 'href="/audit/?target=boss"' in page.text


def test_the_event_of_a_deleted_role_lists_its_users_and_permissions(
    boss: Client, account_events: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iotda_admin.accounts.audit_log.NAMED_USERS", 1)
    first, second = make_user("operator"), User.objects.create_user("zoe")
    role = Group.objects.get(name="operator")
    second.groups.add(role)
    assert (
        boss.post(f"/admin/auth/group/{role.pk}/delete/", {"post": "yes"}).status_code
        == 302
    )
    (event,) = [
        event for event in account_events() if "users" in event.detail["changes"]
    ]
    assert event.detail["changes"]["users"] == [["operator", "… (+1)"], []]
    assert "devices.freeze_device" in event.detail["changes"]["permissions"][0]
    assert event.pk in found(boss, target=first.username) & found(boss, target="zoe")
