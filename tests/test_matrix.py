"""Who may open what: every address, every role, reading and sending. The table is the documentation.

An address that is missing here fails. What stands in a cell is the HTTP status; nothing is sent to the
platform by any of these requests, for the forms are empty.
"""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from iotda_admin.operations.door import Wanted, ask
from tests.asking import writes
from tests.conftest import make_user

ROLES = ["anonymous", "viewer", "operator", "policy admin", "auditor", "admin"]
# 302 for anonymous is the login page; 405 a method that is not answered; 422 an incomplete form;
# 404 for an operator is an operation of somebody else.
TABLE = """
                                          GET                            POST
                                          anon view oper pola audi admi  anon view oper pola audi admi
overview                                  302  200  200  200  200  200   302  405  405  405  405  405
devices:devices                           302  200  200  200  200  200   302  405  405  405  405  405
devices:device                            302  200  200  200  200  200   302  405  405  405  405  405
devices:freeze                            302  403  200  403  403  200   302  403  422  403  403  422
devices:unfreeze                          302  403  200  403  403  200   302  403  422  403  403  422
devices:freeze_many                       302  403  302  403  403  302   302  403  200  403  403  200
devices:unfreeze_many                     302  403  302  403  403  302   302  403  200  403  403  200
devices:paste                             302  403  200  403  403  200   302  405  405  405  405  405
policies:policies                         302  200  200  200  200  200   302  405  405  405  405  405
policies:policy                           302  200  200  200  200  200   302  405  405  405  405  405
policies:of_device                        302  200  200  200  200  200   302  405  405  405  405  405
policies:of_target                        302  200  200  200  200  200   302  405  405  405  405  405
policies:bind                             302  403  403  200  403  200   302  403  403  200  403  200
policies:bind_selection                   302  403  403  200  403  200   302  403  403  200  403  200
policies:unbind                           302  403  403  302  403  302   302  403  403  200  403  200
operations:operations                     302  403  200  200  200  200   302  405  405  405  405  405
operations:operation                      302  403  404  200  200  200   302  405  405  405  405  405
operations:targets                        302  403  404  200  200  200   302  405  405  405  405  405
operations:failures                       302  403  404  200  200  200   302  405  405  405  405  405
operations:check                          302  405  405  405  405  405   302  403  404  403  403  302
operations:retry                          302  403  404  403  403  200   302  403  404  403  403  422
operations:undo                           302  403  404  403  403  200   302  403  404  403  403  422
operations:cancel                         302  403  404  403  403  200   302  403  404  403  403  302
failures:failures                         302  403  200  200  200  200   302  405  405  405  405  405
failures:take                             302  405  405  405  405  405   302  403  302  302  403  302
failures:give_back                        302  405  405  405  405  405   302  403  302  302  403  302
failures:note                             302  405  405  405  405  405   302  403  302  302  403  302
failures:solve                            302  405  405  405  405  405   302  403  302  302  403  302
failures:reopen                           302  405  405  405  405  405   302  403  302  302  403  302
failures:retry                            302  405  405  405  405  405   302  403  302  302  403  302
audit:events                              302  403  403  403  200  200   302  405  405  405  405  405
audit:export                              302  403  403  403  200  200   302  405  405  405  405  405
inventory:freshness                       302  200  200  200  200  200   302  405  405  405  405  405
inventory:refresh                         302  405  405  405  405  405   302  302  302  302  302  302
accounts:login                            200  302  302  302  302  302   200  302  302  302  302  302
admin-login                               302  403  403  403  403  403   405  405  405  405  405  405
accounts:logout                           302  405  405  405  405  405   302  302  302  302  302  302
healthz                                   200  200  200  200  200  200   200  200  200  200  200  200
readyz                                    503  503  503  503  503  503   405  405  405  405  405  405
metrics                                   404  404  404  404  404  404   405  405  405  405  405  405
"""
ROWS = {line.split()[0]: [int(cell) for cell in line.split()[1:]] for line in TABLE.splitlines()[3:]}


def addresses(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every address of ours, name and route; Django's own admin has its own rules."""
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield f"{prefix}{entry.name}", str(entry.pattern)
        elif entry.namespace != "admin":
            yield from addresses(entry, f"{entry.namespace}:")


def test_every_address_stands_in_the_table():
    assert sorted(name for name, _route in addresses(get_resolver())) == sorted(ROWS)


@pytest.fixture
def urls(inventory, asker) -> dict[str, str]:
    """Each address with something that exists; the operation is somebody else's."""
    device, policy = inventory.landmarks["online"], inventory.landmarks["policy"]
    operation = ask("device.freeze", [Wanted(device)], asker=asker, reason="because", form_key="k")
    things = {
        "<id:device_id>": device,
        "<id:policy_id>": policy,
        "<id:target_id>": device,
        "<int:number>": operation.pk,
    }
    return {
        name: reverse(name, args=[thing for part, thing in things.items() if part in route])
        for name, route in addresses(get_resolver())
    }


def status(role: str, method: str, url: str) -> int:
    client = Client()
    if role != "anonymous":
        client.force_login(User.objects.get(groups__name=role))
    response = getattr(client, method)(url)
    return int(response.status_code)


@pytest.mark.parametrize("role", ROLES)
def test_it_answers_each_role_as_the_table_says(role, urls, cloud):
    if role not in ("anonymous", "admin"):  # the admin is the asker
        make_user(role)
    column = ROLES.index(role)
    expected = {name: [row[column], row[column + len(ROLES)]] for name, row in ROWS.items()}
    answered = {name: [status(role, method, urls[name]) for method in ("get", "post")] for name in ROWS}
    assert answered == expected
    assert not writes(cloud)
