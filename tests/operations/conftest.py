from typing import Any

import pytest

from iotda_admin.connection import client
from iotda_admin.operations.door import Asker, Wanted, ask, start
from iotda_admin.operations.models import Operation


@pytest.fixture
def begin(asker: Asker, inventory: Any) -> Any:
    """Asks at the door, without starting."""
    keys = iter(range(1000))

    def begin(verb: str, *ids: str, policy: str = "other_policy", **more: Any) -> Operation:
        about = {"policy_id": inventory.landmarks[policy]} if verb.startswith("policy.") else {}
        facts = {"asker": asker, "reason": "because", "form_key": f"key {next(keys)}", **about, **more}
        return ask(verb, [Wanted(id) for id in ids], **facts)

    return begin


@pytest.fixture
def do(begin: Any) -> Any:
    """Asks and starts."""

    def do(verb: str, *ids: str, **more: Any) -> Operation:
        operation = begin(verb, *ids, **more)
        start(operation, client())
        return operation

    return do
