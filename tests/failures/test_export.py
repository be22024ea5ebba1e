"""The open failures as CSV."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from iotda_admin.audit.models import Event
from iotda_admin.failures import queries
from iotda_admin.failures.models import Assignment
from iotda_admin.operations.models import Operation, Target
from tests.cloud import Cloud
from tests.conftest import signed_in


def rows_of(response: Any) -> list[dict[str, str]]:
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def failed(start_operation: Callable[..., Operation], inventory: Cloud) -> Operation:
    return start_operation(
        "policy.bind", "nobody-1", inventory.known_ids["full"], *inventory.free(1),
        policy="policy", policy_name="quarantine", ticket="INC-7",
    )  # fmt: skip


def test_the_file_has_the_failures_with_their_operation_and_assignee(
    auditor: Client, failed: Operation, inventory: Cloud
) -> None:
    target = Target.objects.get(target_id="nobody-1")
    Assignment.objects.create(target=target, assignee_name="ada", note="ask them")
    rows = {row["id"]: row for row in rows_of(auditor.get("/failures/failures.csv"))}
    assert rows.keys() == {"nobody-1", inventory.known_ids["full"]}
    row = rows["nobody-1"]
    assert (row["operation"], row["code"]) == (str(failed), "IOTDA.014000")
    assert (row["assignee"], row["note"], row["ticket"]) == ("ada", "ask them", "INC-7")
    assert row["meaning"] == "The device does not exist."
    assert row["policy"] == "quarantine"
    assert row["failed_at"].endswith("Z")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"code": "IOTDA.014000"}, ["nobody-1"]),
        ({"target": "nobody-1"}, ["nobody-1"]),
        ({"ticket": "INC-8"}, []),
        ({"state": "unknown"}, []),
        ({"code": "\0"}, []),
    ],
)
def test_the_file_has_what_the_list_is_filtered_by(
    auditor: Client, failed: Operation, query: Any, found: list[str]
) -> None:
    rows = rows_of(auditor.get("/failures/failures.csv", query))
    assert [row["id"] for row in rows] == found
    event = Event.objects.filter(kind="export").latest("pk")
    assert event.summary == "open failures as CSV"
    assert event.detail["filters"].keys() == query.keys()


def test_an_operator_gets_only_the_failures_of_the_own_operations(
    failed: Operation,
) -> None:
    assert rows_of(signed_in("operator").get("/failures/failures.csv")) == []


def test_the_file_has_every_unknown_target(
    auditor: Client, failed: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page counts up to a limit."""
    monkeypatch.setattr(queries, "COUNT_LIMIT", 0)
    Target.objects.filter(state="failed").update(state="unknown")
    rows = rows_of(auditor.get("/failures/failures.csv", {"state": "unknown"}))
    assert len(rows) == 2
