"""How many SQL statements a small bind takes, from the form to the recorded result."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.cloud import Cloud
from tests.operation_helpers import bind_form

# BEGIN and COMMIT of its two transactions included. On PostgreSQL each of them also locks
# the audit trail, which BEGIN IMMEDIATE does on SQLite.
STATEMENTS = 45
LOCKS = 2


@pytest.mark.django_db(transaction=True)
def test_a_bind_of_three_devices_needs_few_sql_statements(
    inventory: Cloud, policyadmin: Client
) -> None:
    policy = inventory.known_ids["other_policy"]
    policyadmin.get(f"/policies/{policy}/bind/")
    form = bind_form(policy, *inventory.free(3))
    with CaptureQueriesContext(connection) as queries:
        response = policyadmin.post(f"/policies/{policy}/bind/", form)
    assert response.status_code == 302
    limit = STATEMENTS + (LOCKS if connection.vendor == "postgresql" else 0)
    assert len(queries) <= limit, [query["sql"][:100] for query in queries]
