import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from iotda_admin.access.roles import PERMISSIONS, ROLES
from iotda_admin.accounts import login_throttle
from iotda_admin.accounts.models import LoginTries
from iotda_admin.audit.models import Event
from tests.conftest import HTMX, make_user

LOGIN = {"username": "viewer", "password": "a-password-1"}
EVIL = "evil.example"
# Open redirects of other products. A browser reads a backslash as a slash, and drops tabs,
# newlines and leading control characters.
STARTS = [
    "//{}", "///{}", "////{}", "/\\{}", "\\\\{}", "\\/{}", "/\\/{}", "/\t/{}", "/\n/{}", "/\r\n/{}",
    "\t//{}", " //{}", "\x00//{}", "\x1f//{}", "\xa0//{}", "\u2028//{}", "\ufeff//{}", "http:{}",
    "http:/{}", "http:///{}", "https://{}", "HTTPS://{}", "https:\\\\{}", "ht\ntps://{}",
    "https://testserver@{}", "https://testserver:80@{}", "https://testserver.{}", "https://{}#testserver",
    "https://{}?testserver", "https://{}\\@testserver", "https://testserver%40{}",
    "https://{}%2f@testserver", "//testserver@{}", "//{}:80", "//[::1].{}", "//{}%00", "http://[{}",
    "https://[::1]@{}", "ftp://{}", "ws://{}", "file://{}", "//\uff45vil.example", "//{}\u3002",
    "https://\uff45vil.example", "//%65vil.example", "https:{}", "//{}/..", "/..//{}", "/.//{}",
    "//google\u2024com.{}",
]  # fmt: skip
SCRIPTS = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "\x01javascript:alert(1)",
    " javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:msgbox(1)",
    "blob:https://evil.example/1", "javascript://testserver/%0aalert(1)",
    "view-source:https://evil.example", "%0d%0aLocation:%20https://evil.example", "/%0d%0aSet-Cookie:x=1",
    "\r\nSet-Cookie: x=1",
]  # fmt: skip
ELSEWHERE = [*(start.replace("{}", EVIL) for start in STARTS), *SCRIPTS]


def stays(location: Any) -> bool:
    """Parse a URL as browsers do: backslashes are slashes; tabs and newlines are dropped."""
    assert not {"\r", "\n"} & set(location)
    seen = (
        location.replace("\\", "/")
        .translate({9: None, 10: None, 13: None})
        .strip("".join(map(chr, range(33))))
    )
    there = urlsplit(urljoin("http://testserver/accounts/login/", seen))
    return (there.scheme, there.netloc) == ("http", "testserver")


def test_a_page_redirects_to_the_login_and_back(anonymous: Client) -> None:
    make_user("viewer")
    to_login = anonymous.get("/devices/?status=FROZEN")
    assert to_login.status_code == 302
    assert (
        anonymous.post(to_login["Location"], LOGIN)["Location"]
        == "/devices/?status=FROZEN"
    )


def test_a_fragment_request_after_the_session_ended_loads_the_login_page(
    anonymous: Client,
) -> None:
    here = {**HTMX, "HX-Current-URL": "http://testserver/devices/?q=pump"}
    response = anonymous.get("/devices/?q=pumps", headers=here)
    assert response["HX-Redirect"] == "/accounts/login/?next=/devices/%3Fq%3Dpump"


def redirects(viewer: Client, elsewhere: Any) -> list[Any]:
    """Yield every view that takes a URL to redirect to."""
    login = f"/accounts/login/?{urlencode({'next': elsewhere})}"
    return [
        viewer.get(login),  # a user who is already signed in
        Client().post(login, LOGIN),
        Client().post("/accounts/login/", {**LOGIN, "next": elsewhere}),
        viewer.post("/inventory/refresh/", {"next": elsewhere}),
        Client().get(f"/admin/login/?{urlencode({'next': elsewhere})}"),
    ]


def test_no_redirect_leaves_the_site(viewer: Client) -> None:
    places = {
        elsewhere: [answer["Location"] for answer in redirects(viewer, elsewhere)]
        for elsewhere in ELSEWHERE
    }
    assert [
        elsewhere
        for elsewhere, locations in places.items()
        if not all(map(stays, locations))
    ] == []


def test_the_check_of_redirects_detects_an_open_one(viewer: Client) -> None:
    assert not any(
        stays(f"{start}{EVIL}")
        for start in ("//", "/\\", "\t//", "/\t/", "https://testserver@")
    )
    assert stays(
        viewer.post("/inventory/refresh/", {"next": "/devices/?q=//"})["Location"]
    )


@pytest.mark.parametrize("elsewhere", ["https://evil.example/x", "//evil.example/x"])
def test_a_fragment_request_from_another_site_returns_to_this_one(
    anonymous: Client, elsewhere: str
) -> None:
    response = anonymous.get("/devices/", headers={**HTMX, "HX-Current-URL": elsewhere})
    assert "evil" not in response["HX-Redirect"]
    response = anonymous.post("/inventory/refresh/", headers={"Referer": elsewhere})
    assert "evil" not in response["Location"]


def wrong(client: Any, name: str = "viewer", **headers: Any) -> Any:
    return client.post(
        "/accounts/login/", {"username": name, "password": "wrong"}, headers=headers
    )


def test_the_correct_password_is_blocked_after_five_wrong_ones(
    anonymous: Client,
) -> None:
    make_user("viewer")
    assert [wrong(anonymous).status_code for _ in range(5)] == [200] * 5
    locked = anonymous.post("/accounts/login/", LOGIN)
    assert locked.status_code == 429
    assert 0 < int(locked["Retry-After"]) <= 900
    assert "Too many wrong passwords." in locked.text
    assert "Wait 15 minutes" in locked.text


def focused_field(page: Any) -> list[str]:
    return re.findall(r'<input id="(\w+)"[^>]*\sautofocus>', page.text)


def test_after_a_wrong_password_the_password_has_the_focus(
    anonymous: Client,
) -> None:
    make_user("viewer")
    assert focused_field(anonymous.get("/accounts/login/")) == ["username"]
    assert focused_field(wrong(anonymous)) == ["password"]
    assert focused_field(wrong(anonymous, "")) == ["username"]


def alert(page: Any) -> Any:
    return re.search(r'role="alert".*', page.text)[0]


def test_an_unknown_account_is_locked_in_the_same_way(anonymous: Client) -> None:
    make_user("viewer")
    known, unknown = (
        [wrong(anonymous, name) for _ in range(6)] for name in ("viewer", "nobody")
    )
    assert [answer.status_code for answer in known] == [
        answer.status_code for answer in unknown
    ]
    assert alert(known[-1]) == alert(unknown[-1])


def test_a_lockout_is_recorded_once(anonymous: Client) -> None:
    make_user("viewer")
    for _ in range(8):
        wrong(anonymous)
    assert Event.objects.filter(kind="login.failed").count() == 5
    assert Event.objects.get(kind="login.throttled").actor_name == "viewer"


def test_signing_in_resets_the_count(anonymous: Client) -> None:
    make_user("viewer")
    for _ in range(3):
        assert [wrong(anonymous).status_code for _ in range(4)] == [200] * 4
        assert anonymous.post("/accounts/login/", LOGIN).status_code == 302
        anonymous.post("/accounts/logout/")


def test_a_lockout_ends(anonymous: Client, settings: Settings) -> None:
    make_user("viewer")
    for _ in range(6):
        wrong(anonymous)
    past = timezone.now() - timedelta(minutes=settings.LOGIN_MINUTES)
    LoginTries.objects.update(since=past)
    assert anonymous.post("/accounts/login/", LOGIN).status_code == 302


def test_an_administrator_unlocks_an_account(
    anonymous: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    make_user("viewer")
    for _ in range(6):
        wrong(anonymous)
    call_command("unlock_login", "viewer")
    assert "viewer is unlocked" in capsys.readouterr().out
    event = Event.objects.latest("id")
    assert (event.kind, event.source, event.summary) == (
        "account.changed",
        "cli",
        "user viewer: sign-in unlocked",
    )
    assert anonymous.post("/accounts/login/", LOGIN).status_code == 302


def test_an_address_that_tries_many_names_is_locked(anonymous: Client) -> None:
    answers = [wrong(anonymous, f"name-{n}").status_code for n in range(51)]
    assert answers == [200] * 50 + [429]


def test_other_addresses_are_not_locked_and_only_a_proxy_can_forward_them(
    anonymous: Client, settings: Settings
) -> None:
    make_user("viewer")
    for n in range(6):
        answer = wrong(anonymous, **{"X-Forwarded-For": f"192.0.2.{n}"})
    assert answer.status_code == 429
    settings.BEHIND_PROXY = True
    assert wrong(anonymous, **{"X-Forwarded-For": "192.0.2.77"}).status_code == 200


def test_ipv4_addresses_in_ipv6_form_are_separate_clients() -> None:
    assert [
        login_throttle.client_network(a) for a in ("::ffff:10.0.0.1", "10.0.0.1")
    ] == ["10.0.0.1"] * 2
    assert (
        login_throttle.client_network("2001:db8::1")
        == login_throttle.client_network("2001:db8::2")
        == "2001:db8::"
    )


def test_an_unknown_name_is_not_stored(anonymous: Client) -> None:
    wrong(anonymous, "canary-password-1")
    assert "canary" not in str(
        [list(LoginTries.objects.values()), list(Event.objects.values())]
    )


def test_a_wrong_password_shows_an_error_and_keeps_the_name(anonymous: Client) -> None:
    page = anonymous.post(
        "/accounts/login/", {"username": "viewer", "password": "x"}
    ).text
    assert "do not match" in page
    assert 'value="viewer"' in page


def test_signing_out_needs_a_form(viewer: Client) -> None:
    assert viewer.get("/accounts/logout/").status_code == 405
    viewer.post("/accounts/logout/")
    assert viewer.get("/").status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_a_group_with_its_permissions(role: Any) -> None:
    held = Group.objects.get(name=role).permissions.values_list(
        "content_type__app_label", "codename"
    )
    assert {".".join(permission) for permission in held} == {
        label for label, declared in PERMISSIONS.items() if role in declared.roles
    }


def test_pages_are_not_cached(viewer: Client) -> None:
    response = viewer.get("/")
    assert response["Cache-Control"] == "no-store"
    assert "HX-Request" in response["Vary"]


def test_pages_have_a_strict_content_security_policy(viewer: Client) -> None:
    policy = viewer.get("/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_only_superusers_reach_the_admin(admin: Client, auditor: Client) -> None:
    assert auditor.get("/admin/").status_code == 403
    assert (
        admin.get("/admin/").status_code == 403
    )  # the role is not enough without is_staff


def test_staff_without_superuser_status_can_read_nothing_in_the_admin(
    admin: Client, django_user_model: Any
) -> None:
    django_user_model.objects.update(is_staff=True)
    found = (
        "/admin/autocomplete/?app_label=auth&model_name=user&field_name=groups&term=a"
    )
    user = django_user_model.objects.get()
    for address in (found, "/admin/auth/user/", f"/admin/auth/user/{user.pk}/history/"):
        assert admin.get(address).status_code == 403
    user.is_superuser = True
    user.save()
    assert admin.get(found).status_code == 200
