"""The page with the permissions, spaces and limits of each user."""

import re
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from devices.models import Space
from tests.cloud import Cloud
from tests.conftest import make_user, signed_in


def rows(page: Any) -> dict[Any, Any]:
    """Return the text of each row by user name."""
    found = re.findall(r"<tr>\s*<td.*?</tr>", page.text, re.S)
    texts = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in found]
    return {text.split()[0]: text for text in texts}


def test_a_row_shows_permissions_spaces_limit_and_last_sign_in(
    inventory: Cloud,
) -> None:
    page = signed_in("auditor")
    make_user("operator", inventory.known_ids["space"])
    make_user("viewer", "none-such").grants.all().delete()
    texts = rows(page.get("/accounts/rights/"))
    assert (
        "Can freeze and unfreeze devices · at most 1,000 targets at once"
        in texts["operator"]
    )
    assert texts["operator"].endswith("plant-north never")
    assert texts["viewer"].endswith("read only none: no devices visible never")
    assert "UTC" in texts["auditor"]


def test_spaces_that_the_reader_cannot_see_are_counted_but_not_named(
    inventory: Cloud,
) -> None:
    here, elsewhere = list(inventory.known_ids["free_by_space"])[:2]
    make_user("operator", here, elsewhere)
    reader = Client()
    reader.force_login(make_user("auditor", here))
    row = rows(reader.get("/accounts/rights/"))["operator"]
    assert "1 other space" in row
    assert str(Space.objects.get(pk=here)) in row
    assert str(Space.objects.get(pk=elsewhere)) not in row


def test_a_permission_filters_the_users_who_can_use_it(auditor: Client) -> None:
    for role in ("viewer", "operator", "policy admin", "admin"):
        make_user(role)
    User.objects.create_superuser("boss")
    User.objects.create_superuser("gone", is_active=False)
    User.objects.get(username="admin").grants.all().delete()
    assert set(rows(auditor.get("/accounts/rights/?right=policies.bind_policy"))) == {
        "policyadmin",
        "boss",
    }
    assert "deactivated" in rows(auditor.get("/accounts/rights/"))["gone"]


def test_the_number_of_queries_does_not_grow_with_the_users(
    auditor: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(60):
        User.objects.create_user(f"user-{n:02}")
    auditor.get("/accounts/rights/")
    with django_assert_max_num_queries(16):
        page = auditor.get("/accounts/rights/")
    assert len(rows(page)) == 50
    assert "?after=" in page.text


def test_the_page_agrees_with_the_permission_check(
    inventory: Cloud, auditor: Client
) -> None:
    user = make_user("policy admin", inventory.known_ids["space"])
    texts = rows(auditor.get("/accounts/rights/?right=policies.bind_space"))
    assert "policyadmin" in texts
    assert user.has_perm("policies.bind_space", inventory.known_ids["space"])
    assert "policyadmin" not in rows(
        auditor.get("/accounts/rights/?right=devices.freeze_device")
    )
    assert not user.has_perm("devices.freeze_device")
