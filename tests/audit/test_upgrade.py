"""What was recorded before there was a chain becomes its beginning."""

import importlib
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from iotda_admin import audit
from iotda_admin.audit import guard
from iotda_admin.audit.models import Event, ReasonWord
from iotda_admin.audit.verify import verify

MIGRATION = importlib.import_module("iotda_admin.audit.migrations.0005_first_links")


@pytest.fixture
def old(db):
    """The model as it was, and its rows without hashes; one number was never given away."""
    state = MigrationExecutor(connection).loader.project_state(("audit", "0004_chain"))
    rows = state.apps.get_model("audit", "Event").objects
    for number in (1, 2, 4):
        facts = {"kind": "operation.asked", "actor_name": "Ada", "reason": f"unpaid {number}"}
        rows.create(
            id=number, at=datetime(2026, 1, number, tzinfo=UTC), detail={"z": 1, "a": [2]},
            outside_hours=False, **facts,
        )  # fmt: skip
    return state.apps


def test_it_verifies_and_goes_on(old):
    with connection.cursor() as cursor:
        for table in guard.ARCHIVED:
            on = f" ON {table}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER {table}_update{on}")
    MIGRATION.link(old, None)
    guard.install()
    audit.record("login", actor_name="Ada")
    assert (verify().bad, verify().events) == (None, 4)
    assert list(Event.objects.order_by("id").values_list("reason", flat=True))[:3] == [
        "unpaid 1", "unpaid 2", "unpaid 4",
    ]  # fmt: skip
    assert set(ReasonWord.objects.filter(word="unpaid").values_list("event", flat=True)) == {1, 2, 3}
