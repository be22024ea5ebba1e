"""The page that says who can do what."""

import re

from django.contrib.auth.models import User
from django.test import Client

from devices.models import Space
from tests.conftest import make_user, signed_in


def rows(page):
    """The text of each user's row."""
    found = re.findall(r"<tr>\s*<td.*?</tr>", page.text, re.S)
    texts = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in found]
    return {text.split()[0]: text for text in texts}


def test_it_tells_rights_spaces_limit_and_last_sign_in(inventory):
    page = signed_in("auditor")
    make_user("operator", inventory.known_ids["space"])
    make_user("viewer", "none-such").grants.all().delete()
    told = rows(page.get("/accounts/rights/"))
    assert (
        "Can freeze and unfreeze devices · at most 1,000 targets at once"
        in told["operator"]
    )
    assert told["operator"].endswith("plant-north never")
    assert told["viewer"].endswith("only to read none: sees no device never")
    assert "UTC" in told["auditor"]


def test_spaces_elsewhere_are_counted_but_not_named(inventory):
    here, elsewhere = list(inventory.known_ids["free_by_space"])[:2]
    make_user("operator", here, elsewhere)
    reader = Client()
    reader.force_login(make_user("auditor", here))
    told = rows(reader.get("/accounts/rights/"))["operator"]
    assert "1 elsewhere" in told
    assert str(Space.objects.get(pk=here)) in told
    assert str(Space.objects.get(pk=elsewhere)) not in told


def test_it_answers_who_can_bind(auditor):
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


def test_many_users_cost_no_more_questions(auditor, django_assert_max_num_queries):
    for n in range(60):
        User.objects.create_user(f"user-{n:02}")
    auditor.get("/accounts/rights/")
    with django_assert_max_num_queries(16):
        page = auditor.get("/accounts/rights/")
    assert len(rows(page)) == 50
    assert "?after=" in page.text


def test_what_it_tells_is_what_the_door_does(inventory, auditor):
    user = make_user("policy admin", inventory.known_ids["space"])
    told = rows(auditor.get("/accounts/rights/?right=policies.bind_space"))
    assert "policyadmin" in told
    assert user.has_perm("policies.bind_space", inventory.known_ids["space"])
    assert "policyadmin" not in rows(
        auditor.get("/accounts/rights/?right=devices.freeze_device")
    )
    assert not user.has_perm("devices.freeze_device")
