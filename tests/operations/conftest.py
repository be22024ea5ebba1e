import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from iotda_admin.access.actor import Actor
from iotda_admin.operations.models import Operation
from iotda_admin.operations.services import dispatch
from iotda_admin.rate.connection import client
from tests.cloud import Cloud
from tests.operation_helpers import create, run_workers
from tests.operations.deployment import Deployment
from tests.rate.conftest import paced

__all__ = ["paced"]


@pytest.fixture
def record_operation(actor: Actor, inventory: Cloud) -> Callable[..., Operation]:
    """Create an operation without sending it."""
    keys = iter(range(1000))

    def record_operation(
        verb: str, *ids: str, policy: str = "other_policy", **more: Any
    ) -> Operation:
        about = {}
        if verb.startswith("policy."):
            about = {"policy_id": inventory.known_ids[policy]}
        by = more.pop("actor", actor)
        key = more.pop("form_key", None) or f"key {next(keys)}"
        return create(verb, ids, by, key=key, **about, **more)

    return record_operation


@pytest.fixture
def start_operation(
    record_operation: Callable[..., Operation],
) -> Callable[..., Operation]:
    """Create and dispatch an operation."""

    def start_operation(verb: str, *ids: str, **more: Any) -> Operation:
        operation = record_operation(verb, *ids, **more)
        dispatch(operation, client())
        return operation

    return start_operation


@pytest.fixture(scope="module")
def prepared(cloud_process: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder with users and inventory once; each reset keeps them valid."""
    cloud_process.reset()
    folder = tmp_path_factory.mktemp("deployment")
    Deployment(folder, cloud_process).prepare()
    return folder


@pytest.fixture
def deployment(cloud: Cloud, prepared: Path, tmp_path: Path) -> Iterator[Deployment]:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    deployment = Deployment(tmp_path, cloud)
    yield deployment
    deployment.kill()


@pytest.fixture
def platform(inventory: Cloud, settings: Settings) -> Cloud:
    """Use a batch task from four targets on; it takes no time."""
    settings.BATCH_TASK_ABOVE = 3
    inventory.switch(task_speed=1e6, task_delay_s=0)
    return inventory


@pytest.fixture
def devices(platform: Cloud) -> Sequence[str]:
    return platform.free(8)


@pytest.fixture
def finished(
    start_operation: Callable[..., Operation], devices: Sequence[str], platform: Cloud
) -> Operation:
    """Return an operation whose task has frozen all devices and was not polled yet."""
    operation = start_operation("device.freeze", *devices)
    run_workers()
    assert {platform.status(id) for id in devices} == {"FROZEN"}
    return operation
