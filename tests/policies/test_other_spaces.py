"""A retry, an undo and a replacement ask before a bind across resource spaces."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from iotda_admin.operations.models import Operation
from policies.models import Binding
from tests.cloud import Cloud
from tests.failures.conftest import me, record_operation, start_operation
from tests.operation_helpers import change_form, outcome_counts, write_requests

__all__ = ["me", "record_operation", "start_operation"]
type Start = Callable[..., Operation]
ASKED = "1 target is in another resource space than the policy."
ERROR = "confirm that they are sent."


@pytest.fixture
def far(inventory: Cloud) -> str:
    """A device that is not in the resource space of the policies."""
    known = inventory.known_ids
    return str(known["free_by_space"][known["other_space"]][0])


def refused(start: Start, cloud: Cloud, *ids: str) -> Operation:
    cloud.fault("BindDevicePolicy", "status", status=400, error_code="IOTDA.9")
    operation = start("policy.bind", *ids, policy="policy")
    cloud.heal()
    return operation


def texts(html: str) -> str:
    return " ".join(html.split())


def form_of(page: str, group: str, **more: Any) -> dict[str, Any]:
    seen = re.search(r'name="seen" value="(\w+)"', page)
    assert seen
    return change_form(group=[group], seen=seen[1], **more)


def test_a_retry_asks_before_it_binds_across_spaces(
    me: Client, start_operation: Start, inventory: Cloud, far: str
) -> None:
    url = f"{refused(start_operation, inventory, far).get_absolute_url()}retry/"
    page = me.get(url).text
    assert ASKED in texts(page)
    form, before = form_of(page, "failed:IOTDA.9"), len(write_requests(inventory))
    response = me.post(url, form)
    assert response.status_code == 422
    assert ERROR in texts(response.text)
    assert len(write_requests(inventory)) == before
    me.post(url, form | {"other_space": "on"})
    retry = Operation.objects.latest("pk")
    assert retry.retry_of
    assert outcome_counts(retry) == {"ok": 1}


def test_an_undo_asks_before_it_binds_across_spaces(
    me: Client, start_operation: Start, far: str
) -> None:
    start_operation("policy.bind", far, policy="policy")
    unbound = start_operation("policy.unbind", far, policy="policy")
    url = f"{unbound.get_absolute_url()}undo/"
    page = me.get(url).text
    assert ASKED in texts(page)
    form = form_of(page, "changed")
    assert me.post(url, form).status_code == 422
    me.post(url, form | {"other_space": "on"})
    assert Operation.objects.latest("pk").undo_of == unbound


def test_an_undo_that_unbinds_asks_nothing(
    me: Client, start_operation: Start, far: str
) -> None:
    bound = start_operation("policy.bind", far, policy="policy")
    url = f"{bound.get_absolute_url()}undo/"
    page = me.get(url).text
    assert ASKED not in texts(page)
    me.post(url, form_of(page, "changed"))
    assert Operation.objects.latest("pk").undo_of == bound


def test_a_retry_in_the_space_of_the_policy_asks_nothing(
    me: Client, start_operation: Start, inventory: Cloud
) -> None:
    failed = refused(start_operation, inventory, *inventory.free(1))
    assert ASKED not in texts(me.get(f"{failed.get_absolute_url()}retry/").text)


def test_a_retry_without_the_targets_of_other_spaces_asks_nothing(
    me: Client, start_operation: Start, inventory: Cloud, far: str
) -> None:
    near = inventory.free(1)[0]
    failed = start_operation("policy.bind", near, far, policy="policy")
    codes = {near: "IOTDA.9", far: "IOTDA.8"}
    for target, code in codes.items():
        rows = failed.targets.filter(target_id=target)
        rows.update(state="failed", error_code=code)
    url = f"{failed.get_absolute_url()}retry/"
    page = me.get(url).text
    assert ASKED in texts(page)
    me.post(url, form_of(page, "failed:IOTDA.9"))
    assert Operation.objects.latest("pk").retry_of == failed


def test_a_retry_of_failures_asks_before_it_binds_across_spaces(
    me: Client, start_operation: Start, inventory: Cloud, far: str
) -> None:
    failed = refused(start_operation, inventory, far)
    selected = {"target": [failed.targets.get().pk]}
    page = me.post("/failures/retry/", selected, follow=True).text
    assert ASKED in texts(page)
    response = me.post("/failures/retry/", change_form(**selected))
    assert response.status_code == 422
    assert ERROR in texts(response.text)
    assert Operation.objects.count() == 1
    me.post("/failures/retry/", change_form(other_space="on", **selected))
    assert Operation.objects.latest("pk").retry_of == failed


def test_a_replacement_asks_before_it_binds_across_spaces(
    me: Client, start_operation: Start, inventory: Cloud, far: str
) -> None:
    full = Binding.objects.filter(target_id=inventory.known_ids["full"])
    for policy in full.values_list("policy", flat=True):
        binding = {"policy_id": policy, "target_type": "device", "target_id": far}
        inventory.call("POST", "bindings", json=binding)
    failed = start_operation("policy.bind", far, policy="policy")
    url = f"/policies/replace.for/{failed.pk}/{far}/"
    page = me.get(url).text
    assert ASKED in texts(page)
    chosen = re.findall(r'name="unbind" value="(\w+)"', page)[0]
    response = me.post(url, change_form(unbind=chosen))
    assert response.status_code == 422
    assert ERROR in texts(response.text)
    assert Operation.objects.count() == 1
    me.post(url, change_form(unbind=chosen, other_space="on"))
    assert outcome_counts(failed.retries.get()) == {"ok": 1}
