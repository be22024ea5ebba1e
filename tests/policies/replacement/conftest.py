"""A bind that failed because its target is full, and what the tests of its replacement share."""

import re
from collections.abc import Callable

import pytest

from iotda_admin.operations.models import Operation
from tests.cloud import Cloud
from tests.failures.conftest import me, record_operation, start_operation
from tests.operation_helpers import (
    write_requests,
)
from tests.rate.conftest import paced

__all__ = ["me", "paced", "record_operation", "start_operation"]
type Start = Callable[..., Operation]


@pytest.fixture
def failed(start_operation: Start, inventory: Cloud) -> Operation:
    """A bind of a device that has five policies already."""
    full = inventory.known_ids["full"]
    return start_operation(
        "policy.bind", full, policy="policy", policy_name="quarantine", ticket="INC-7"
    )


def page_of(operation: Operation) -> str:
    target = operation.targets.get().target_id
    return f"/policies/replace.for/{operation.pk}/{target}/"


def on_target(cloud: Cloud, operation: Operation) -> list[str]:
    """The IDs of the policies that the target has at IoTDA."""
    target = operation.targets.get().target_id
    params = {"target_type": operation.target_type, "target_id": target}
    rows = cloud.call("GET", "bindings", params=params)["bindings"]
    return sorted(row["policy_id"] for row in rows)


def choices(text: str) -> list[str]:
    return re.findall(r'name="unbind" value="(\w+)"', text)


def unbind_elsewhere(cloud: Cloud, operation: Operation, policy: str) -> None:
    target = operation.targets.get().target_id
    params = {"policy_id": policy, "target_id": target}
    cloud.call("DELETE", "bindings", params=params)


def bind_elsewhere(
    cloud: Cloud, policy: str, target: str, kind: str = "device"
) -> None:
    binding = {"policy_id": policy, "target_id": target, "target_type": kind}
    cloud.call("POST", "bindings", json=binding)


def sent(cloud: Cloud, since: int) -> list[tuple[str, str]]:
    """The writes after the first ones: the call and its policy."""
    return [
        (entry["operation"], entry["path"].split("/")[-2])
        for entry in write_requests(cloud)[since:]
    ]


def pair() -> tuple[Operation, Operation]:
    second = Operation.objects.get(after__isnull=False)
    assert second.after
    return second.after, second


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", re.sub(r"</?bdi>", "", html)).split())
