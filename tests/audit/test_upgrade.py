"""Migrations of old databases: events get hashes and search words."""

import importlib
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from iotda_admin.audit import triggers
from iotda_admin.audit.models import Event, ReasonWord
from iotda_admin.audit.record import record_event
from iotda_admin.audit.verify import verify_trail
from tests.audit.test_chain import force

MIGRATION = importlib.import_module("iotda_admin.audit.migrations.0005_first_links")
LAST_CHARACTERS = importlib.import_module(
    "iotda_admin.audit.migrations.0009_last_characters"
)


@pytest.fixture
def old(db: None) -> Any:
    """Return the old models, with events without hashes and with a gap in their ids."""
    state = MigrationExecutor(connection).loader.project_state(("audit", "0004_chain"))
    rows = state.apps.get_model("audit", "Event").objects
    for number in (1, 2, 4):
        facts = {
            "kind": "operation.asked",
            "actor_name": "Ada",
            "reason": f"unpaid {number}",
        }
        rows.create(
            id=number, at=datetime(2026, 1, number, tzinfo=UTC), detail={"z": 1, "a": [2]},
            outside_hours=False, **facts,
        )  # fmt: skip
    return state.apps


def test_an_old_trail_is_chained_and_continues(old: Any) -> None:
    with connection.cursor() as cursor:
        for table in triggers.DELETABLE:
            on = f" ON {table}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER {table}_update{on}")
    MIGRATION.link(old, None)
    triggers.install_triggers()
    record_event("login", actor_name="Ada")
    assert (verify_trail().broken_at, verify_trail().events) == (None, 4)
    assert list(Event.objects.order_by("id").values_list("reason", flat=True))[:3] == [
        "unpaid 1", "unpaid 2", "unpaid 4",
    ]  # fmt: skip
    assert set(
        ReasonWord.objects.filter(word="unpaid").values_list("event", flat=True)
    ) == {1, 2, 3}


def test_the_last_character_of_an_old_reason_is_indexed(db: None) -> None:
    record_event("operation.asked", actor_name="Ada", reason="欠费停机")
    force("DELETE FROM audit_reasonword WHERE word = '机'")
    for _twice in range(2):
        LAST_CHARACTERS.add(apps, None)
    assert sorted(ReasonWord.objects.values_list("word", flat=True)) == [
        "停机",
        "机",
        "欠费",
        "费停",
    ]
    assert verify_trail().broken_at is None
