from typing import Any

import pytest
from django.test import Client

from tests.operations.conftest import begin, do

__all__ = ["begin", "do"]


@pytest.fixture
def me(actor: Any) -> Client:
    """A client signed in as the actor of `do`."""
    client = Client()
    client.force_login(actor.user)
    return client


@pytest.fixture
def full(do: Any, inventory: Any) -> Any:
    """A failed bind: the device has five policies already."""
    return do(
        "policy.bind", inventory.known_ids["full"], policy="policy", ticket="INC-7"
    )
