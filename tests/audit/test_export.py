"""Exports have exactly the events that were found, and can be verified without us."""

import csv
import hashlib
import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from iotda_admin.audit.chain import HASHED_COLUMNS
from iotda_admin.audit.head import chain_head
from iotda_admin.audit.models import Event
from iotda_admin.audit.record import record_event
from tests.conftest import make_user

pytestmark = pytest.mark.django_db
FULL = ("failed", "IOTDA.015204", "It has five already")


@pytest.fixture
def trail(auditor: Client) -> Client:
    record_event(
        "operation.asked", ticket="INC-1", reason="=cmd", targets=[("pump",), ("lamp",)]
    )
    record_event(
        "chunk.answered",
        ticket="INC-1",
        targets=[("pump", "Ä", "ok"), ("lamp", "灯", *FULL)],
    )
    record_event("operation.ended", ticket="INC-1", detail={"b": [1, None], "a": "ü"})
    return auditor


def body(client: Any, what: Any, **filters: Any) -> Any:
    return b"".join(
        client.get(f"/audit/export.{what}", filters).streaming_content
    ).decode()


def table(client: Any, **filters: Any) -> list[Any]:
    text = body(client, "csv", **filters)
    # Excel in China would read UTF-8 without this mark as GBK.
    assert text.startswith('\ufeff"id"')
    return list(csv.DictReader(StringIO(text[1:])))


def test_csv_has_a_line_for_each_target(trail: Client) -> None:
    rows = [
        (row["kind"], row["target_id"], row["target_outcome"])
        for row in table(trail, ticket="inc-1")
    ]
    assert rows == [
        ("operation.ended", "", ""),
        ("chunk.answered", "pump", "ok"),
        ("chunk.answered", "lamp", "failed"),
        ("operation.asked", "pump", ""),
        ("operation.asked", "lamp", ""),
    ]


def test_csv_has_only_targets_that_match_the_filters(trail: Client) -> None:
    (row,) = table(trail, code="IOTDA.015204")
    assert (row["target_name"], row["message"], row["ticket"]) == (
        "灯",
        "It has five already",
        "INC-1",
    )


def test_csv_has_no_formulas_and_times_in_utc(trail: Client) -> None:
    (row, _other) = table(trail, kind="operation.asked")
    assert row["reason"] == "'=cmd"
    assert (
        row["at"]
        == f"{Event.objects.get(kind='operation.asked').at:%Y-%m-%dT%H:%M:%S.%fZ}"
    )


def encode(value: Any) -> Any:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def test_each_json_line_can_be_verified_alone(trail: Client) -> None:
    lines = [json.loads(line) for line in body(trail, "jsonl").splitlines()]
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)
    for line in lines:
        row = [
            encode(line[name]) if name == "detail" else line[name]
            for name in HASHED_COLUMNS
        ]
        said = f"{line['previous_hash']}\n{encode(row)}\n{encode(line['targets']) if line['targets'] else ''}"
        assert hashlib.sha256(said.encode()).hexdigest() == line["hash"]


def test_an_export_is_recorded_with_its_filters_and_the_head(trail: Client) -> None:
    before = str(chain_head())
    name = trail.get("/audit/export.jsonl?ticket=INC-1&outcome=failed")[
        "Content-Disposition"
    ]
    event = Event.objects.get(kind="export")
    assert event.detail["filters"] == {"ticket": "INC-1", "outcome": "failed"}
    assert event.detail["head"] == before
    assert "audit-INC-1-" in name
    assert name.endswith('Z.jsonl"')


@pytest.mark.parametrize(
    ("granted", "space"),
    [(["north"], "north"), (["north", "south"], "*"), (["*"], "*")],
)
def test_filters_of_an_export_are_hidden_from_other_spaces(
    granted: list[Any], space: str
) -> None:
    exporter, other = Client(), Client()
    exporter.force_login(make_user("auditor", *granted))
    User.objects.update(username="exporter")
    other.force_login(make_user("auditor", "west"))
    body(exporter, "jsonl", target="pump")
    event = Event.objects.get(kind="export")
    answers = [
        client.get(f"/audit/{event.pk}/").status_code for client in (exporter, other)
    ]
    assert (event.space, answers) == (space, [200, 404])


def test_the_file_ends_before_its_own_event(trail: Client) -> None:
    assert "export" not in {row["kind"] for row in table(trail)}


def test_an_invalid_filter_exports_nothing(trail: Client) -> None:
    answer = trail.get("/audit/export.csv?since=yesterday")
    assert answer["Location"] == "/audit/?since=yesterday"
    assert not Event.objects.filter(kind="export").exists()


def test_several_batches_are_exported_completely(
    auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iotda_admin.audit.search.query.EXPORT_BATCH", 4)
    for n in range(11):
        record_event(
            "chunk.answered",
            actor_name="Zoe",
            targets=[(f"d{n}-{each}",) for each in range(n % 3)],
        )
    ids = [(row["id"], row["target_id"]) for row in table(auditor, actor="Zoe")]
    assert len(ids) == len(set(ids)) == sum(max(1, n % 3) for n in range(11))
