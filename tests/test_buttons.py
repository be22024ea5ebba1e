"""Each button is shown to exactly the roles that its view allows."""

import html
import re
from collections import Counter
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import resolve

from iotda_admin.access.actor import Actor
from iotda_admin.operations.execution.executor import execute_chunk
from iotda_admin.operations.execution.lifecycle import cancel_operation
from iotda_admin.rate import connection
from policies.models import Policy
from tests.cloud import Cloud
from tests.conftest import make_user, signed_in
from tests.operation_helpers import create
from tests.samples import BY_VERB, SAMPLES

ROLES = ["viewer", "operator", "policy admin", "auditor", "admin"]
PAGES = {
    "the list of devices": "/devices/",
    "a device": "/devices/{online}/",
    "a frozen device": "/devices/{frozen}/",
    "a device behind a gateway": "/devices/{child}/",
    "its policies": "/policies/of.device/{full}/",
    "the list of policies": "/policies/",
    "a policy": "/policies/{policy}/",
    "the overview": "/",
}
# Any IDs: only the views of the addresses are looked up.
PLACES = {"target": "d1", "policy": "p1", "other_policy": "p2"}
# What each role is offered somewhere, and nothing else that changes the platform.
FOLLOWS = {
    "operations:retry",
    "operations:undo",
    "operations:cancel",
    "operations:check",
    "operations:continue",
}
CHANGES = {
    resolve(view.url.format(**PLACES)).view_name: sample.roles
    for sample in SAMPLES
    for view in sample.all_views
}
OFFERED = {
    role: {name for name, roles in CHANGES.items() if role in roles} for role in ROLES
}


def offered(text: str) -> dict[str, tuple[str, str]]:
    """The changes that links, forms and buttons of a page lead to: name, address and method."""
    found = {}
    for tag in re.findall(r"<(?:a|form|button)\b[^>]*>", text):
        method = "post" if 'method="post"' in tag or "formaction" in tag else "get"
        for url in re.findall(r'(?:href|action|formaction)="(/[^"?#]*)', tag):
            name = resolve(url).view_name
            if name in CHANGES.keys() | FOLLOWS:
                found[name] = (method, url)
    return found


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_the_buttons_it_may_use(role: str, inventory: Cloud) -> None:
    client = signed_in(role)
    pages = [
        client.get(url.format(**inventory.known_ids)).text for url in PAGES.values()
    ]
    assert set().union(*(offered(page) for page in pages)) == OFFERED[role]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("place", PAGES)
def test_no_button_leads_to_a_rejected_view(
    role: str, place: str, inventory: Cloud
) -> None:
    client = signed_in(role)
    response = client.get(PAGES[place].format(**inventory.known_ids))
    assert response.status_code == 200
    for method, url in offered(response.text).values():
        assert getattr(client, method)(url).status_code in (200, 302, 422)


@pytest.fixture
def operations(inventory: Cloud) -> dict[Any, Any]:
    """Of a freezer and of a binder each: one that is not fully sent, and one that failed in part."""
    found = {}
    for verb, role in [("device.freeze", "operator"), ("policy.bind", "policy admin")]:
        actor = Actor(make_user(role), role, "test")
        about = (
            {"policy_id": inventory.known_ids["other_policy"]}
            if verb == "policy.bind"
            else {}
        )
        for state, ids in [
            ("running", 25 * ["nobody-{}"]),
            ("partial", [inventory.free(1)[0], "nobody-x"]),
        ]:
            targets = [id.format(n) for n, id in enumerate(ids)]
            operation = create(verb, targets, actor, key=state, **about)
            for chunk in operation.chunks.all()[: 1 if state == "running" else None]:
                execute_chunk(chunk, connection.client())
            found[verb, state] = operation
    return found


@pytest.mark.parametrize("role", ROLES)
def test_an_operation_offers_the_follow_ups_that_are_possible(
    role: str, operations: dict[Any, Any]
) -> None:
    client = Client()
    client.force_login(
        User.objects.filter(groups__name=role).first() or make_user(role)
    )
    for (verb, state), operation in operations.items():
        page = client.get(operation.get_absolute_url())
        may = role in BY_VERB[verb].roles
        follows = (
            {"operations:cancel"}
            if state == "running"
            else {"operations:retry", "operations:undo"}
        )
        assert set(offered(page.text)) - CHANGES.keys() == (follows if may else set())
        for what in ("retry", "undo", "cancel"):
            status = client.get(f"{operation.get_absolute_url()}{what}/").status_code
            assert (status == 200) == may


def test_a_device_behind_a_gateway_has_no_freeze(
    admin: Client, inventory: Cloud
) -> None:
    text = admin.get(
        PAGES["a device behind a gateway"].format(**inventory.known_ids)
    ).text
    assert "devices:freeze" not in offered(text)
    assert "Go to its gateway" in text


@pytest.mark.parametrize(
    ("role", "shown"),
    # Those of 50 rows, of the whole page and of the whole list.
    [("viewer", 0), ("auditor", 0), ("operator", 52), ("policy admin", 52)],
)
def test_rows_have_checkboxes_only_for_users_with_a_bulk_action(
    role: str, shown: int, inventory: Cloud
) -> None:
    assert signed_in(role).get("/devices/").text.count('type="checkbox"') == shown


@pytest.mark.parametrize("role", ROLES)
def test_no_menu_entry_leads_to_a_rejected_view(role: str, inventory: Cloud) -> None:
    client = signed_in(role)
    menu = re.search(r'<nav class="nav".*?</nav>', client.get("/").text, re.S)[0]
    links = [
        url
        for url in re.findall(r'href="([^"]+)"', menu)
        if not url.startswith("/admin/")
    ]
    assert [client.get(url).status_code for url in links] == [200] * len(links)
    assert ("/audit/" in links) == (role != "viewer")
    assert ("/failures/" in links) == (role != "viewer")
    assert "/operations/" in links


@pytest.mark.parametrize("role", ROLES)
def test_no_link_leads_a_user_of_one_space_to_a_rejected_view(
    role: str, inventory: Cloud
) -> None:
    spaces = inventory.known_ids["free_by_space"]
    home = Policy.objects.get(pk=inventory.known_ids["policy"]).app_id
    (near, *_rest), far = spaces.pop(home), next(iter(spaces.values()))[0]
    root, browser = Actor(None, "", "cli", name="root"), Client()
    browser.force_login(make_user(role, home))
    for n, ids in enumerate([[near], [near, far]]):
        operation = create("device.freeze", ids, root, key=str(n))
        execute_chunk(operation.chunks.first(), connection.client())
        cancel_operation(operation, root)
    found, seen = crawl(
        browser, "/", f"/devices/{near}/", f"/devices/?q={far}", "/accounts/rights/"
    )
    assert {
        url: status for url, status in found.items() if status not in (200, 302)
    } == {url: 403 for url in ["/accounts/rights/"] if role not in ("auditor", "admin")}
    assert {
        "devices:device",
        "policies:policy",
        "policies:of_device",
        "operations:operation",
    } <= seen
    changes = seen & CHANGES.keys()
    assert changes <= OFFERED[role]
    assert bool(changes) == bool(OFFERED[role])


def crawl(browser: Any, *urls: Any) -> tuple[Any, ...]:
    """Follow the links of each page, a few to each view: every status, and the views that were found."""
    found: dict[str, Any] = {}
    waiting, visits = list(urls), Counter[str]()
    while waiting:
        url = waiting.pop()
        name = resolve(url.partition("?")[0]).view_name
        if url in found or visits[name] == 4:
            continue
        response = browser.get(url)
        found[url], visits[name] = response.status_code, visits[name] + 1
        # A file has no links.
        if response.status_code == 200 and not response.streaming:
            waiting += [
                html.unescape(link)
                for link in re.findall(
                    r'href="(/(?!static|admin)[^"#]*)', response.text
                )
            ]
    return found, set(visits)
