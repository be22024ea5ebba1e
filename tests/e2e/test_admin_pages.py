"""Django's admin works under our headers, without messages on the console."""

from django.contrib.auth.models import Group, User

from tests.e2e.stage import Stage

PAGES = [
    "/admin/",
    "/admin/auth/user/",
    "/admin/auth/user/add/",
    "/admin/auth/user/{user}/change/",
    "/admin/auth/user/{user}/password/",
    "/admin/auth/user/{user}/history/",
    "/admin/auth/group/{group}/change/",
]


def test_the_user_admin_works_under_the_content_security_policy(stage: Stage) -> None:
    admin = stage.user("admin")
    User.objects.update(is_staff=True, is_superuser=True)
    page = stage.open_page("admin")
    failed = []
    page.on(
        "requestfailed", lambda request: failed.append((request.url, request.failure))
    )
    for path in PAGES:
        answer = page.goto(path.format(user=admin.pk, group=Group.objects.first().pk))
        assert answer.status == 200
    # A request that was cancelled by leaving the page is not blocked.
    assert [url for url, why in failed if why != "net::ERR_ABORTED"] == []
    # A script of Django's moves groups between the two lists.
    page.goto(f"/admin/auth/user/{admin.pk}/change/")
    page.locator(".selector-chosen select").first.wait_for()
