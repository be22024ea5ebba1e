"""The policies as CSV."""

import csv
import io
import json
from typing import Any

from django.test import Client

from policies.models import Binding, Policy
from tests.cloud import Cloud
from tests.conftest import make_user


def rows_of(response: Any) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_the_file_has_each_policy_with_its_statements_and_targets(
    viewer: Client, inventory: Cloud
) -> None:
    rows = {
        row["policy_id"]: row for row in rows_of(viewer.get("/policies/policies.csv"))
    }
    assert rows.keys() == set(Policy.objects.values_list("pk", flat=True))
    policy = Policy.objects.get(pk=inventory.known_ids["policy"])
    row = rows[policy.pk]
    assert row["name"] == policy.name
    assert json.loads(row["statements"]) == policy.statements
    assert int(row["targets"]) == Binding.objects.filter(policy=policy).count()


def test_the_file_has_only_policies_that_the_user_may_see(
    client: Client, inventory: Cloud
) -> None:
    space = inventory.known_ids["other_space"]
    client.force_login(make_user("viewer", space))
    rows = rows_of(client.get("/policies/policies.csv"))
    assert {row["app_id"] for row in rows} == {space}
