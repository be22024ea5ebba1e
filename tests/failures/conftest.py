from collections.abc import Callable

import pytest
from django.test import Client

from iotda_admin.access.actor import Actor
from iotda_admin.operations.models import Operation
from tests.cloud import Cloud
from tests.operations.conftest import record_operation, start_operation

__all__ = ["record_operation", "start_operation"]


@pytest.fixture
def me(actor: Actor) -> Client:
    """A client signed in as the actor of `start_operation`."""
    client = Client()
    client.force_login(actor.user)
    return client


@pytest.fixture
def full(start_operation: Callable[..., Operation], inventory: Cloud) -> Operation:
    """A failed bind: the device has five policies already."""
    return start_operation(
        "policy.bind", inventory.known_ids["full"], policy="policy", ticket="INC-7"
    )
