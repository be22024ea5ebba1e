"""Access to Django's admin, and the audit event of a denied request."""

import html
import re
from typing import Any
from urllib.parse import urljoin

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
    assert event.actor_name == "viewer"
    assert (event.detail["method"], event.detail["path"]) == (method.upper(), url)


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


def test_names_of_users_and_roles_are_one_line(boss: Client) -> None:
    role = {"name": "night\r\nshift\u200b", **NO_LIMITS}
    boss.post("/admin/auth/group/add/", role)
    assert Group.objects.filter(name="night shift").exists()
    empty = boss.post("/admin/auth/group/add/", role | {"name": "\u2060\u3164"})
    assert "This field is required." in empty.text


NO_LIMITS = {
    f"limit-{name}_FORMS": number
    for name, number in (("TOTAL", 0), ("INITIAL", 0), ("MIN_NUM", 0), ("MAX_NUM", 9))
}


REFUSED = [
    "user/?date_joined__year=99999", "user/?date_joined__year=x", "user/?last_login__gte=9999-99-99",
    "user/?is_active__exact=banana", "user/?groups__id__exact=x", "user/?groups__exact=x",
    "user/?username__regex=(", "user/?password__startswith=a", "user/?is_active__gt=1",
    "user/?no_such_field=1", "user/?no__such=1", "user/?is_active__exact=%00", "user/?username__exact=%00",
    "user/?groups__id__exact=%00", "user/?_to_field=password", "group/?name__year=1", "group/?id__in=x",
    "group/?id__exact=99999999999999999999",
]  # fmt: skip
ANSWERED = [
    "user/?groups__id__exact=99999999999999999999", "user/?groups__isnull=x", "user/?o=999.x.-7",
    "user/?p=99999999999999999999", "user/?p=-1", "user/?all=x", "user/?e=1", "user/?q=%00",
    "user/?q=" + "a" * 50_000, "user/?_facets=x", "user/?_popup=x", "group/?p=x",
    "user/99999999999999999999/change/", "user/x/change/", "user/99999999999999999999/password/",
    "user/99999999999999999999/history/", "user/1/history/?p=x", "group/99999999999999999999/delete/",
    "user/add/?is_active=x&groups=x&username=%00", "user/add/?groups=99999999999999999999",
    "user/add/?_changelist_filters=x%00",
    "../autocomplete/?app_label=auth&model_name=user&field_name=groups&term=%00&page=x",
]  # fmt: skip


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.mark.parametrize("path", REFUSED)
def test_a_nonsense_filter_of_the_admin_is_a_bad_request(
    boss: Client, path: str
) -> None:
    assert boss.get(f"/admin/auth/{path}").status_code == 400
    # The database still answers.
    assert boss.get("/admin/auth/user/?is_active__exact=1").status_code == 200


@pytest.mark.parametrize("path", ANSWERED)
def test_no_other_nonsense_in_the_admin_is_a_server_error(
    boss: Client, path: str
) -> None:
    url = urljoin("/admin/auth/", path)
    assert boss.get(url, follow=True).status_code in {200, 400, 404}
    assert boss.get("/admin/auth/user/?is_active__exact=1").status_code == 200


def test_the_filters_of_the_users_work(boss: Client) -> None:
    role = Group.objects.get(name="viewer")
    User.objects.create_user("zoe", is_active=False).groups.add(role)
    for path in (
        "is_active__exact=0",
        f"groups__id__exact={role.pk}",
        "is_superuser__exact=0",
    ):
        page = boss.get(f"/admin/auth/user/?{path}").text
        assert "zoe" in page
        assert ">boss</a>" not in page
    page = boss.get("/admin/auth/user/").text
    for link in re.findall(r'href="(\?[^"]*__[^"]*)"', page):
        assert boss.get(f"/admin/auth/user/{html.unescape(link)}").status_code == 200
