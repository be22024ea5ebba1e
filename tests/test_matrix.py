"""Who may open what, and where: every address, every role, every method, inside and outside of their resource
spaces. The table is the documentation.

An address that is missing here fails, and so does one with an object in it that has no line for "outside".
To add an address, add its line, and a line for "outside" if it has an object.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from devices.models import Device
from devices.verbs import DeviceVerb
from iotda_admin.access.actor import Actor
from iotda_admin.access.models import Grant
from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Operation
from policies.models import Policy
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import bind_form, change_form, create, write_requests
from tests.samples import SAMPLES

ROLES = ["anonymous", "viewer", "operator", "policy admin", "auditor", "admin"]
# A cell is the HTTP status. Nothing is sent to the platform by any of these requests: the
# forms are empty, or refused. 302 for anonymous is the login page; 405 a method that is not answered; 422 an
# incomplete form; 404 for an operator is another user's audit event. Every user with its resource spaces may
# read another user's operation; its follow-ups need the permission of the verb.
# A plain line: the object, if there is one, is in a resource space of the user. A superuser's are all: they
# are answered as an admin.
# outside: it is not, and it is as if it did not exist. Without such a line it makes no difference.
# mixed: one target is and another is not. GET is what is shown before anything is asked for, POST the asking.
TABLE = """
                                          GET                            POST
                                          anon view oper pola audi admi  anon view oper pola audi admi
overview                                  302  200  200  200  200  200   302  405  405  405  405  405
devices:devices                           302  200  200  200  200  200   302  405  405  405  405  405
devices:devices_csv                       302  200  200  200  200  200   302  405  405  405  405  405
devices:device                            302  200  200  200  200  200   302  405  405  405  405  405
devices:device outside                    302  404  404  404  404  404   302  405  405  405  405  405
devices:status_push                       405  405  405  405  405  405   404  404  404  404  404  404
policies:policies                         302  200  200  200  200  200   302  405  405  405  405  405
policies:policies_csv                     302  200  200  200  200  200   302  405  405  405  405  405
policies:policy                           302  200  200  200  200  200   302  405  405  405  405  405
policies:policy outside                   302  404  404  404  404  404   302  405  405  405  405  405
policies:of_device                        302  200  200  200  200  200   302  405  405  405  405  405
policies:of_device outside                302  404  404  404  404  404   302  405  405  405  405  405
policies:of_target                        302  200  200  200  200  200   302  405  405  405  405  405
policies:of_target outside                302  404  404  404  404  404   302  405  405  405  405  405
policies:bind                             302  403  403  200  403  200   302  403  403  200  403  200
policies:bind outside                     302  403  403  404  403  404   302  403  403  404  403  404
policies:bind mixed                       302  403  403  200  403  200   302  403  403  403  403  403
policies:bind_selection                   302  403  403  200  403  200   302  403  403  200  403  200
policies:bind_selection mixed             302  403  403  200  403  200   302  403  403  403  403  403
policies:unbind                           302  403  403  302  403  302   302  403  403  200  403  200
policies:unbind outside                   302  403  403  404  403  404   302  403  403  404  403  404
policies:unbind mixed                     302  403  403  403  403  403   302  403  403  403  403  403
policies:replace                          302  403  403  404  403  404   302  403  403  404  403  404
policies:replace outside                  302  403  403  404  403  404   302  403  403  404  403  404
operations:operations                     302  200  200  200  200  200   302  405  405  405  405  405
operations:operations_csv                 302  200  200  200  200  200   302  405  405  405  405  405
operations:operation                      302  200  200  200  200  200   302  405  405  405  405  405
operations:operation outside              302  404  404  404  404  404   302  405  405  405  405  405
operations:targets                        302  200  200  200  200  200   302  405  405  405  405  405
operations:targets outside                302  404  404  404  404  404   302  405  405  405  405  405
operations:failures                       302  200  200  200  200  200   302  405  405  405  405  405
operations:failures outside               302  404  404  404  404  404   302  405  405  405  405  405
operations:check                          302  405  405  405  405  405   302  403  302  403  403  302
operations:check outside                  302  405  405  405  405  405   302  404  404  404  404  404
operations:continue                       302  405  405  405  405  405   302  403  302  403  403  302
operations:continue outside               302  405  405  405  405  405   302  404  404  404  404  404
operations:retry                          302  403  200  403  403  200   302  403  422  403  403  422
operations:retry outside                  302  404  404  404  404  404   302  404  404  404  404  404
operations:undo                           302  403  200  403  403  200   302  403  422  403  403  422
operations:undo outside                   302  404  404  404  404  404   302  404  404  404  404  404
operations:cancel                         302  403  200  403  403  200   302  403  302  403  403  302
operations:cancel outside                 302  404  404  404  404  404   302  404  404  404  404  404
failures:failures                         302  403  200  200  200  200   302  405  405  405  405  405
failures:failures_csv                     302  403  200  200  200  200   302  405  405  405  405  405
failures:take                             302  302  302  302  302  302   302  403  302  302  403  302
failures:give_back                        302  302  302  302  302  302   302  403  302  302  403  302
failures:note                             302  302  302  302  302  302   302  403  302  302  403  302
failures:solve                            302  302  302  302  302  302   302  403  302  302  403  302
failures:reopen                           302  302  302  302  302  302   302  403  302  302  403  302
failures:retry                            302  302  302  302  302  302   302  403  302  302  403  302
audit:events                              302  403  200  200  200  200   302  405  405  405  405  405
audit:export                              302  403  403  403  200  200   302  405  405  405  405  405
audit:event                               302  403  404  404  200  200   302  405  405  405  405  405
audit:event outside                       302  403  404  404  404  404   302  405  405  405  405  405
audit:codes                               302  403  403  403  200  200   302  405  405  405  405  405
audit:export_lines                        302  403  403  403  200  200   302  405  405  405  405  405
inventory:freshness                       302  200  200  200  200  200   302  405  405  405  405  405
inventory:refresh                         302  405  405  405  405  405   302  302  302  302  302  302
accounts:login                            200  302  302  302  302  302   200  302  302  302  302  302
admin-login                               302  403  403  403  403  403   405  405  405  405  405  405
accounts:logout                           302  405  405  405  405  405   302  302  302  302  302  302
accounts:password                         302  200  200  200  200  200   302  200  200  200  200  200
accounts:rights                           302  403  403  403  200  200   302  405  405  405  405  405
platform                                  286  204  204  204  204  204   405  405  405  405  405  405
healthz                                   200  200  200  200  200  200   200  200  200  200  200  200
readyz                                    503  503  503  503  503  503   405  405  405  405  405  405
metrics                                   404  404  404  404  404  404   405  405  405  405  405  405
"""
ROWS = {
    " ".join(line.split()[:-12]): [int(cell) for cell in line.split()[-12:]]
    for line in TABLE.splitlines()[3:]
}


def row(get: str, post: str, roles: frozenset[str]) -> list[int]:
    """Return the cells of one address: what allowed roles get, and 403 for the others."""
    cells = [302 if role == "anonymous" else 403 for role in ROLES]
    return [
        int(status) if role in roles else cell
        for status in (get, post)
        for role, cell in zip(ROLES, cells, strict=True)
    ]


CHANGERS = frozenset().union(
    *(each.roles for each in SAMPLES if isinstance(each.about, DeviceVerb))
)
ROWS["devices:paste"] = row("200", "405", frozenset(ROLES) - {"anonymous"})
for role in set(ROLES) - CHANGERS - {"anonymous"}:
    ROWS["devices:paste"][ROLES.index(role)] = 403
# The addresses of the verbs on devices, drawn from the registry as their views are.
for sample in SAMPLES:
    if isinstance(sample.about, DeviceVerb):
        one = f"devices:{sample.about.command}"
        ROWS[one] = row("200", "422", sample.roles)
        ROWS[f"{one} outside"] = row("404", "404", sample.roles)
        ROWS[f"{one}_many"] = row("302", "200", sample.roles)
        ROWS[f"{one}_many mixed"] = row("403", "403", sample.roles)
PLAIN = [name for name in ROWS if " " not in name]


def addresses(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every address of ours, name and route; Django's own admin has its own rules."""
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield f"{prefix}{entry.name}", str(entry.pattern)
        elif entry.namespace != "admin":
            yield from addresses(entry, f"{entry.namespace}:")


ROUTES = dict(addresses(get_resolver()))


def test_every_address_is_in_the_table() -> None:
    assert sorted(ROUTES) == sorted(PLAIN)


def test_every_url_of_an_object_has_a_row_for_other_spaces() -> None:
    of_objects = {name for name, route in ROUTES.items() if "<" in route}
    assert {name for name in of_objects if f"{name} outside" not in ROWS} == set()


@pytest.fixture
def things(inventory: Cloud, actor: Actor) -> dict[str, Any]:
    """What the addresses lead to, all of one resource space; the operation is another user's."""
    policy = inventory.known_ids["policy"]
    home = Policy.objects.get(pk=policy).app_id
    spaces = inventory.known_ids["free_by_space"]
    other = next(space for space in spaces if space != home)
    device = spaces[home][0]
    operation = create("device.freeze", [device], actor)
    named = {
        "<id:device_id>": device,
        "<id:target_id>": device,
        "<id:policy_id>": policy,
        "<int:number>": operation.pk,
        "<int:seq>": Event.objects.latest("id").pk,
    }
    return {
        "named": named,
        "home": home,
        "other": other,
        "far": spaces[other][0],
        "near": spaces[home][1],
    }


def urls(things: dict[str, Any]) -> dict[str, str]:
    named = things["named"]
    return {
        name: reverse(name, args=[named[part] for part in re.findall("<.*?>", route)])
        for name, route in ROUTES.items()
    }


def user_or_anonymous(role: str, *spaces: str) -> User | None:
    """In these resource spaces and no other."""
    if role == "anonymous":
        return None
    user = User.objects.create_user(f"{role} of {len(spaces)} {User.objects.count()}")
    user.is_superuser = role == "superuser"
    user.save()
    user.groups.set(Group.objects.filter(name=role))
    Grant.objects.bulk_create([Grant(user=user, app_id=app_id) for app_id in spaces])
    return user


def send(user: User | None, method: str, url: str, data: Any = None) -> Any:
    return getattr(browser_of(user), method)(url, data)


def browser_of(user: User | None) -> Client:
    """Signed in, again if it was signed out."""
    browser: Client = getattr(user, "browser", None) or Client()
    session = browser.cookies.get(settings.SESSION_COOKIE_NAME)
    if user and not (session and session.value):
        browser.force_login(user)
        user.browser = browser  # type: ignore[attr-defined]
    return browser


def expected(role: str, name: str) -> list[int]:
    column = ROLES.index("admin" if role == "superuser" else role)
    return [ROWS[name][column], ROWS[name][column + len(ROLES)]]


@pytest.mark.parametrize("role", [*ROLES, "superuser"])
def test_each_role_gets_the_status_of_the_table(
    role: Any, things: dict[str, Any], cloud: Cloud
) -> None:
    user, at = (
        user_or_anonymous(role, *([] if role == "superuser" else [things["home"]])),
        urls(things),
    )
    answered = {
        name: [send(user, method, at[name]).status_code for method in ("get", "post")]
        for name in PLAIN
    }
    assert answered == {name: expected(role, name) for name in PLAIN}
    assert not write_requests(cloud)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_the_status_of_the_table_for_other_spaces(
    role: str, things: dict[str, Any], cloud: Cloud
) -> None:
    user, at = user_or_anonymous(role, things["other"]), urls(things)
    answered = {
        name: [send(user, method, at[name]).status_code for method in ("get", "post")]
        for name in PLAIN
    }
    rows = {
        name: f"{name} outside" if f"{name} outside" in ROWS else name for name in PLAIN
    }
    assert answered == {name: expected(role, row) for name, row in rows.items()}
    assert not write_requests(cloud)


def mixed(
    name: str, at: str, things: dict[str, Any]
) -> list[tuple[str, str, dict[str, Any]]]:
    """The look beforehand and the asking, with a target inside and one outside."""
    ids, policy = [things["near"], things["far"]], things["named"]["<id:policy_id>"]
    if name.startswith("devices:"):
        return [
            ("post", at, {"target": ids}),
            ("post", at, change_form(target=ids, typed="2")),
        ]
    look = {"policy": policy, "target_type": "device", "target": ids}
    method = "get" if name == "policies:unbind" else "post"
    return [(method, at, look), ("post", at, bind_form(policy, *ids))]


@pytest.mark.parametrize("role", ROLES)
def test_a_mixed_selection_is_rejected_and_only_the_attempt_is_recorded(
    role: str, things: dict[str, Any], cloud: Cloud
) -> None:
    user, at, before = (
        user_or_anonymous(role, things["home"]),
        urls(things),
        Operation.objects.count(),
    )
    for row in (row for row in ROWS if row.endswith(" mixed")):
        name = row.removesuffix(" mixed")
        answers = [send(user, *one) for one in mixed(name, at[name], things)]
        assert [answer.status_code for answer in answers] == expected(role, row), row
        if expected(role, name)[1] == 200:  # it may, but not there
            for answer in answers:
                assert f"not in your resource spaces: {things['far']}" in answer.text, (
                    row
                )
            assert Event.objects.latest("id").detail["outside"] == [things["far"]]
    assert Operation.objects.count() == before
    assert not write_requests(cloud)


def test_no_url_accepts_another_method(things: dict[str, Any], cloud: Cloud) -> None:
    user, at, before = (
        user_or_anonymous("superuser"),
        urls(things),
        Operation.objects.count(),
    )
    answered = {
        (name, method): send(user, method, at[name]).status_code
        for name in PLAIN
        for method in ("put", "patch", "delete", "options")
    }
    # Of Django's own: the login page, which leads on who is signed in, and what tells its methods.
    assert {key: status for key, status in answered.items() if status != 405} == {
        ("accounts:login", "put"): 302,
        **{
            ("accounts:login", method): 302 for method in ("patch", "delete", "options")
        },
        ("accounts:logout", "options"): 200,
        **{
            ("healthz", method): 200 for method in ("put", "patch", "delete", "options")
        },
    }
    heads = {
        name: send(user, "head", at[name]).status_code
        for name in PLAIN
        if name != "accounts:logout"
    }
    gets = {name: send(user, "get", at[name]).status_code for name in heads}
    assert heads == gets
    assert Operation.objects.count() == before
    assert not write_requests(cloud)


# Django's admin, GET. Everybody else who is signed in is refused by each of them.
ADMIN = """
                                                        staff superuser
index                                                   200   200
logout/                                                 405   405
password_change/                                        302   302
password_change/done/                                   200   200
autocomplete/                                           403   403
jsi18n/                                                 200   200
r/0/0/                                                  404   404
auth/                                                   404   200
auth/user/                                              403   200
auth/user/add/                                          403   200
auth/user/1/password/                                   403   200
auth/user/1/history/                                    403   200
auth/user/1/delete/                                     403   403
auth/user/1/change/                                     403   200
auth/user/1/                                            302   302
auth/group/                                             403   200
auth/group/add/                                         403   200
auth/group/1/history/                                   403   200
auth/group/1/delete/                                    403   200
auth/group/1/change/                                    403   200
auth/group/1/                                           302   302
nothing                                                 404   404
"""
ADMIN_ROWS = {
    line.split()[0].removeprefix("index"): tuple(map(int, line.split()[1:]))
    for line in ADMIN.splitlines()[2:]
}


def admin_routes(resolver: Any, prefix: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        route = str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from admin_routes(entry, prefix + route)
        elif "(?P" not in route and entry.name != "login":
            yield prefix + re.sub(
                r"<path:object_id>|<id>",
                "1",
                route.replace("r/<path:content_type_id>", "r/0"),
            )


def test_every_address_of_the_admin_is_in_its_table() -> None:
    (site,) = (
        each
        for each in get_resolver().url_patterns
        if getattr(each, "namespace", "") == "admin"
    )
    routes = {route.replace("r/0/1/", "r/0/0/") for route in admin_routes(site)}
    # The trail is not among them: nothing there could change it.
    assert routes | {"auth/", "nothing", "r/0/0/"} == set(ADMIN_ROWS)


@pytest.fixture
def at_one(db: None) -> dict[str, str]:
    """The addresses of the admin, of a user and a role that exist."""
    user, group = make_user("viewer"), Group.objects.get(name="viewer")
    return {
        path: "/admin/"
        + path.replace("user/1/", f"user/{user.pk}/").replace(
            "group/1/", f"group/{group.pk}/"
        )
        for path in ADMIN_ROWS
    }


@pytest.mark.parametrize("role", ["admin", "superuser"])
def test_the_admin_does_not_say_whether_an_object_exists(
    role: str, things: dict[str, Any]
) -> None:
    user = user_or_anonymous(role, things["home"])
    user.is_staff = True
    user.save()
    model = ContentType.objects.get_for_model(Device).pk
    paths = [things["far"], things["near"], "no-such-device"]
    answers = [send(user, "get", f"/admin/r/{model}/{path}/") for path in paths]
    assert [answer.status_code for answer in answers] == [404, 404, 404]


@pytest.mark.parametrize("role", ROLES)
def test_no_role_may_use_the_admin(role: str, at_one: dict[str, str]) -> None:
    user = user_or_anonymous(role, "*")
    answers = {
        path: [send(user, m, url).status_code for m in ("get", "post")]
        for path, url in at_one.items()
    }
    signed_in = role != "anonymous"
    assert {
        path: each
        for path, each in answers.items()
        if each != ([403, 403] if signed_in else [302, 302])
    } == {}


@pytest.mark.parametrize("column", [0, 1], ids=["staff", "superuser"])
def test_the_admin_keeps_users_and_roles_for_superusers(
    column: int, at_one: dict[str, str]
) -> None:
    user = user_or_anonymous("superuser" if column else "admin", "*")
    user.is_staff = True
    user.save()
    answers = {path: send(user, "get", url).status_code for path, url in at_one.items()}
    assert answers == {path: cells[column] for path, cells in ADMIN_ROWS.items()}
    if not column:
        posts = {
            path: send(user, "post", at_one[path]).status_code
            for path in ADMIN_ROWS
            if "auth/" in path
        }
        assert set(posts.values()) <= {302, 403, 404, 405}
        assert User.objects.count() == 2
