"""Users and roles in Django's admin, under our content security policy."""

from django.contrib.auth.models import Group, User
from playwright.sync_api import expect

from tests.conftest import make_user
from tests.e2e.stage import Stage


def test_a_user_gets_a_role_and_resource_spaces(stage: Stage) -> None:
    User.objects.create_superuser("boss", is_staff=True)
    user, space = make_user("viewer"), stage.cloud.known_ids["space"]
    page = stage.open_page("boss")
    page.goto(f"/admin/auth/user/{user.pk}/change/")
    expect(page.get_by_text("Chosen roles")).to_be_visible()
    page.locator("#id_groups_from").select_option(label="operator")
    page.locator("#id_groups_add").click()
    expect(page.locator("#id_groups_to option", has_text="operator")).to_have_count(1)
    page.get_by_role("link", name="Add another").click()
    page.locator("#id_grants-1-app_id").select_option(space)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert {grant.app_id for grant in user.grants.all()} == {"*", space}
    assert {group.name for group in user.groups.all()} == {"operator", "viewer"}
    page.goto(f"/admin/auth/group/{Group.objects.get(name='viewer').pk}/change/")
    page.locator("#id_limit-0-targets").fill("25")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert Group.objects.get(name="viewer").limit.targets == 25
