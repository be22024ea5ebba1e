import pytest
from django.contrib.auth.models import Group

from iotda_admin.accounts.roles import ROLES
from tests.conftest import HTMX, make_user

LOGIN = {"username": "viewer", "password": "a-password-1"}


def test_a_page_leads_to_the_login_and_back(anonymous):
    make_user("viewer")
    to_login = anonymous.get("/devices/?status=FROZEN")
    assert to_login.status_code == 302
    assert anonymous.post(to_login["Location"], LOGIN)["Location"] == "/devices/?status=FROZEN"


def test_a_swap_after_the_session_ended_takes_the_browser_to_the_login(anonymous):
    here = {**HTMX, "HX-Current-URL": "http://testserver/devices/?q=pump"}
    response = anonymous.get("/devices/?q=pumps", headers=here)
    assert response["HX-Redirect"] == "/accounts/login/?next=/devices/%3Fq%3Dpump"


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_the_login_leads_nowhere_else(anonymous, elsewhere):
    make_user("viewer")
    assert anonymous.post(f"/accounts/login/?next={elsewhere}", LOGIN)["Location"] == "/"


@pytest.mark.parametrize("elsewhere", ["https://evil.example/x", "//evil.example/x"])
def test_a_swap_from_elsewhere_comes_back_to_us(anonymous, elsewhere):
    response = anonymous.get("/devices/", headers={**HTMX, "HX-Current-URL": elsewhere})
    assert "evil" not in response["HX-Redirect"]


def test_the_refresh_leads_nowhere_else(viewer):
    assert viewer.post("/inventory/refresh/", {"next": "https://evil.example/"})["Location"] == "/"


def test_a_wrong_password_says_so_and_keeps_the_name(anonymous):
    page = anonymous.post("/accounts/login/", {"username": "viewer", "password": "x"}).text
    assert "do not match" in page
    assert 'value="viewer"' in page


def test_logging_out_needs_a_form(viewer):
    assert viewer.get("/accounts/logout/").status_code == 405
    viewer.post("/accounts/logout/")
    assert viewer.get("/").status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_a_group_with_its_permissions(role):
    held = Group.objects.get(name=role).permissions.values_list("content_type__app_label", "codename")
    assert {".".join(permission) for permission in held} == ROLES[role]


def test_a_page_is_kept_out_of_every_cache(viewer):
    response = viewer.get("/")
    assert response["Cache-Control"] == "no-store"
    assert "HX-Request" in response["Vary"]


def test_a_page_forbids_all_that_is_not_ours(viewer):
    policy = viewer.get("/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_only_administrators_reach_the_users(admin, auditor):
    assert auditor.get("/admin/").status_code == 302
    assert admin.get("/admin/").status_code == 302  # the role alone is not enough: is_staff is
