"""Access to Django's admin, and the audit event of a denied request."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from iotda_admin.audit.models import Event
from tests.conftest import signed_in


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_denied_request_is_recorded_with_its_method_and_path(
    viewer: Client, method: str
) -> None:
    url = "/admin/auth/user/1/change/"
    assert getattr(viewer, method)(url, {"is_superuser": "on"}).status_code == 403
    event = Event.objects.get(kind="denied")
    assert (event.actor_name, event.detail) == (
        "viewer",
        {"method": method.upper(), "path": url},
    )


def test_a_denied_user_is_not_sent_to_the_login_page(anonymous: Client) -> None:
    answer = anonymous.get("/admin/auth/user/")
    assert answer["Location"] == "/accounts/login/?next=/admin/auth/user/"


@pytest.mark.parametrize(
    ("flags", "shown"),
    [((True, False), False), ((True, True), True), ((False, True), False)],
)
def test_the_menu_shows_the_admin_only_to_those_with_access(
    db: None, flags: tuple[Any, ...], shown: bool
) -> None:
    client = signed_in("viewer")
    staff, superuser = flags
    User.objects.update(is_staff=staff, is_superuser=superuser)
    assert ('href="/admin/"' in client.get("/").text) is shown


def test_signing_out_in_the_admin_works(db: None) -> None:
    boss = Client()
    boss.force_login(User.objects.create_superuser("boss"))
    boss.post("/admin/logout/")
    assert boss.get("/admin/").status_code == 302


def test_names_of_users_and_roles_are_one_line(db: None) -> None:
    boss = Client()
    boss.force_login(User.objects.create_superuser("boss"))
    role = {"name": "night\r\nshift\u200b", **NO_LIMITS}
    boss.post("/admin/auth/group/add/", role)
    assert Group.objects.filter(name="night shift").exists()
    empty = boss.post("/admin/auth/group/add/", role | {"name": "\u2060\u3164"})
    assert "This field is required." in empty.text


NO_LIMITS = {
    f"limit-{name}_FORMS": number
    for name, number in (("TOTAL", 0), ("INITIAL", 0), ("MIN_NUM", 0), ("MAX_NUM", 9))
}
