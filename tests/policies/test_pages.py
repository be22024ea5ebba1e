"""The list of policies and a policy's page."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from iotda_admin.inventory.models import SyncRun
from policies.models import Binding, Policy
from tests.cloud import Cloud
from tests.conftest import signed_in
from tests.operation_helpers import bind_form, make_iotda_unreachable


def test_the_list_shows_the_statements_and_the_number_of_targets(
    viewer: Client, inventory: Cloud
) -> None:
    text = viewer.get("/policies/").text
    assert all(policy.name in text for policy in Policy.objects.all())
    assert "Deny to publish and subscribe to" in " ".join(text.split())


def test_the_list_works_while_iotda_is_down(
    viewer: Client, inventory: Cloud, settings: Settings
) -> None:
    make_iotda_unreachable(settings)
    response = viewer.get("/policies/")
    assert response.status_code == 200
    assert Policy.objects.first().name in response.text


def test_the_list_needs_as_many_queries_for_many_policies_as_for_one(
    viewer: Client,
    inventory: Cloud,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    Policy.objects.bulk_create(
        Policy(policy_id=f"p{n}", name=f"p{n}") for n in range(40)
    )
    SyncRun.objects.all().delete()
    with django_assert_max_num_queries(12):
        viewer.get("/policies/")


def test_the_page_reads_the_policy_from_iotda(viewer: Client, inventory: Cloud) -> None:
    policy = inventory.known_ids["policy"]
    inventory.call("PATCH", f"policies/{policy}", json={"policy_name": "renamed"})
    response = viewer.get(f"/policies/{policy}/")
    assert "<h1><bdi>renamed</bdi></h1>" in response.text
    assert Policy.objects.get(pk=policy).name == "renamed"


@pytest.mark.parametrize(
    ("fault", "status"), [(None, 503), ("html", 503), ("redirect", 502)]
)
def test_an_unreadable_policy_is_shown_from_the_inventory(
    viewer: Client, inventory: Cloud, settings: Settings, fault: str | None, status: int
) -> None:
    policy = Policy.objects.get(pk=inventory.known_ids["policy"])
    inventory.fault("ShowDevicePolicy", fault) if fault else make_iotda_unreachable(
        settings
    )
    response = viewer.get(f"/policies/{policy.pk}/")
    assert response.status_code == status
    assert "From the inventory, synced" in response.text
    assert policy.name in response.text


def test_a_deleted_policy_is_shown_as_deleted(viewer: Client, inventory: Cloud) -> None:
    policy = inventory.known_ids["policy"]
    inventory.call("DELETE", f"policies/{policy}")
    response = viewer.get(f"/policies/{policy}/")
    assert response.status_code == 404
    assert "IoTDA no longer knows this policy" in response.text


def test_an_unknown_policy_is_not_found(viewer: Client, inventory: Cloud) -> None:
    assert viewer.get("/policies/nobody/").status_code == 404


@pytest.mark.parametrize(
    "answer", [None, {"status": 404, "error_code": "APIGW.0101", "error_msg": "No."}]
)
def test_only_a_404_from_iotda_means_not_found(
    policyadmin: Client,
    inventory: Cloud,
    settings: Settings,
    answer: dict[str, Any] | None,
) -> None:
    inventory.fault(
        "ShowDevicePolicy", "status", **answer
    ) if answer else make_iotda_unreachable(settings)
    response = policyadmin.get("/policies/nobody/")
    assert response.status_code in (502, 503)
    assert "The request to IoTDA failed." in response.text
    assert "/policies/nobody/bind/" not in response.text


@pytest.mark.parametrize("role", ["viewer", "operator", "auditor"])
def test_the_history_names_the_actor_reason_and_ticket_to_every_role(
    policyadmin: Client, role: str, inventory: Cloud
) -> None:
    policy = inventory.known_ids["policy"]
    policyadmin.post("/policies/selection.bind/", bind_form(policy, *inventory.free(1)))
    history = (
        signed_in(role).get(f"/policies/{policy}/").text.partition('id="history"')[2]
    )
    assert "Bind" in history
    for words in ("policyadmin", "billing dispute", "INC-1", "OP-"):
        assert words in history


def test_its_targets_are_paged(viewer: Client, inventory: Cloud) -> None:
    policy = inventory.known_ids["policy"]
    Binding.objects.bulk_create(
        Binding(policy_id=policy, target_type="device", target_id=f"d{n}")
        for n in range(60)
    )
    total = Binding.objects.filter(policy=policy).count()
    first = viewer.get(f"/policies/{policy}/").text
    after = list(Binding.objects.filter(policy=policy))[49].pk
    assert f"Bound to {total} targets" in first
    assert f'href="?after={after}"' in first
    assert "d59" in viewer.get(f"/policies/{policy}/?after={after}").text
