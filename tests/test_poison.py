"""Exported files contain no formulas and lose no data."""

import csv
import io
import json
import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from iotda_admin.audit.models import Event, Outcome
from iotda_admin.core.csv_export import SKIPPED
from iotda_admin.operations.counts import UNSUCCESSFUL
from iotda_admin.operations.models import Target
from tests.cloud import Cloud
from tests.poison import Poisoned, store_poison

# Also as a spreadsheet of another alphabet reads them.
FORMULA = tuple("=+-@\t\r＝＋－＠")


@pytest.fixture
def state(inventory: Cloud, settings: Settings) -> Poisoned:
    settings.BATCH_TASK_ABOVE = 5
    return store_poison(inventory)


def rows(client: Any, url: Any) -> list[Any]:
    body = client.get(url).getvalue().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(body, newline="")))


def as_it_was(cell: Any) -> Any:
    cell = re.sub(rf"(?<=[;|\t\r\n])'(?=[{SKIPPED}]*[=+@＝＋－＠%-])", "", cell)
    return (
        cell[1:]
        if cell.startswith("'")
        and cell[1:].lstrip(SKIPPED).startswith((*FORMULA, "%", ";", "|", "\n"))
        else cell
    )


def test_no_csv_cell_is_a_formula_and_the_values_can_be_restored(
    state: Poisoned, admin: Client
) -> None:
    failed = state.operations[0]
    of_operation = rows(admin, f"{failed.get_absolute_url()}failures.csv")
    of_trail = rows(admin, "/audit/export.csv")
    cells = [cell for row in [*of_operation, *of_trail] for cell in row.values()]
    assert [
        cell for cell in cells if cell.lstrip(' "\u200b\ufeff').startswith(FORMULA)
    ] == []
    said = set(
        failed.targets.filter(state__in=UNSUCCESSFUL).values_list(
            "target_id", "name", "error_message"
        )
    )
    assert {
        (r["id"], as_it_was(r["name"]), as_it_was(r["iotda_said"]))
        for r in of_operation
    } == said
    assert {as_it_was(r["message"]) for r in of_trail} >= set(
        Outcome.objects.values_list("message", flat=True)
    )
    assert {as_it_was(r["reason"]) for r in of_trail} >= set(
        Target.objects.values_list("operation__reason", flat=True)
    )


def test_the_json_lines_equal_the_records(state: Poisoned, admin: Client) -> None:
    events = dict(Event.objects.values_list("pk", "reason"))
    lines = admin.get("/audit/export.jsonl").getvalue().decode().split("\n")
    found = [json.loads(line) for line in lines if line]
    assert {
        each["id"]: each["reason"] for each in found if each["id"] in events
    } == events
