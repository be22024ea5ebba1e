"""The filters of the list of operations, and the list as CSV."""

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from iotda_admin.access.actor import Actor
from iotda_admin.access.models import Grant
from iotda_admin.audit.models import Event
from iotda_admin.core.middleware import TIME_ZONE_COOKIE
from iotda_admin.operations.models import Operation
from iotda_admin.operations.web.filters import with_failure_code
from tests.cloud import Cloud
from tests.conftest import make_user, signed_in

type Start = Callable[..., Operation]


@pytest.fixture
def three(start_operation: Start, inventory: Cloud) -> dict[str, Operation]:
    """Return a freeze that is done, a bind that failed and one that partly failed."""
    good, other, third = inventory.free(3)
    operator = Actor(make_user("operator"), "operator", "web")
    about = {"policy": "policy", "policy_name": "quarantine"}
    return {
        "done": start_operation("device.freeze", good, actor=operator, ticket="INC-7"),
        "failed": start_operation("policy.bind", "nobody-1", **about),
        "partly": start_operation("policy.bind", other, "nobody-2", **about),
        "last": start_operation("device.freeze", third, ticket="INC-8"),
    }


def listed(client: Client, **query: Any) -> set[int]:
    response = client.get("/operations/", query)
    assert response.status_code == 200
    links = re.findall(r'<a href="/operations/(\d+)/">OP-', response.text)
    return {int(number) for number in links}


def numbers(three: dict[str, Operation], *names: str) -> set[int]:
    return {three[name].pk for name in names}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"actor": "Operator"}, ["done"]),
        ({"actor": " operator\u200b "}, ["done"]),
        ({"actor": "nobody"}, []),
        ({"verb": "policy.bind"}, ["failed", "partly"]),
        ({"policy": "QUARANTINE"}, ["failed", "partly"]),
        ({"ticket": "inc-7"}, ["done"]),
        ({"target": "nobody-2"}, ["partly"]),
        ({"target": "nobody"}, []),
        ({"code": "iotda.014000"}, ["failed", "partly"]),
        ({"code": "IOTDA.014001"}, []),
        ({"state": "failed"}, ["failed"]),
        ({"state": "partly-failed"}, ["partly"]),
        ({"state": "done"}, ["done", "last"]),
        ({"state": "failures"}, ["failed", "partly"]),
        ({"state": "failed", "verb": "device.freeze"}, []),
        ({"verb": "device.freeze", "ticket": "INC-8"}, ["last"]),
    ],
)
def test_each_filter_finds_its_operations(
    auditor: Client, three: dict[str, Operation], query: Any, found: list[str]
) -> None:
    assert listed(auditor, **query) == numbers(three, *found)


@pytest.mark.parametrize("spelling", ["OP-{}", "op {}", "#{}", "{}"])
def test_a_number_finds_its_operation(
    auditor: Client, three: dict[str, Operation], spelling: str
) -> None:
    number = three["partly"].pk
    assert listed(auditor, number=spelling.format(number)) == {number}


def test_a_policy_is_found_by_its_id(
    auditor: Client, three: dict[str, Operation], inventory: Cloud
) -> None:
    found = listed(auditor, policy=inventory.known_ids["policy"])
    assert found == numbers(three, "failed", "partly")


def test_days_include_both_ends_in_the_time_zone_of_the_user(
    auditor: Client, three: dict[str, Operation]
) -> None:
    late = timezone.now().replace(year=2026, month=3, day=4, hour=23, minute=30)
    Operation.objects.filter(pk=three["done"].pk).update(created_at=late)
    early = late + timedelta(hours=1)
    Operation.objects.filter(pk=three["failed"].pk).update(created_at=early)
    day = {"since": "2026-03-04", "until": "2026-03-04"}
    assert listed(auditor, **day) == numbers(three, "done")
    auditor.cookies[TIME_ZONE_COOKIE] = "Asia/Shanghai"
    assert listed(auditor, **day) == set()
    day = {"since": "2026-03-05", "until": "2026-03-05"}
    assert listed(auditor, **day) == numbers(three, "done", "failed")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"number": "x"}, "Write an operation number like OP-12."),
        ({"since": "31.1.2026"}, "Write a day like 2026-01-31."),
        ({"until": "9999-12-31"}, "A filter is invalid"),
        ({"verb": "device.melt"}, "A filter is invalid"),
    ],
)
def test_an_invalid_filter_finds_nothing_and_says_so(
    auditor: Client, three: dict[str, Operation], query: Any, sentence: str
) -> None:
    assert listed(auditor, **query) == set()
    assert sentence in auditor.get("/operations/", query).text


def test_each_filter_is_shown_and_can_be_removed(
    auditor: Client, three: dict[str, Operation]
) -> None:
    query = {"verb": "policy.bind", "policy": "quarantine", "mine": "1"}
    text = auditor.get("/operations/", query).text
    for label, link in [
        ("Change: <bdi>Bind</bdi>", "?policy=quarantine&amp;mine=1"),
        ("Policy: <bdi>quarantine</bdi>", "?verb=policy.bind&amp;mine=1"),
    ]:
        assert label in text
        assert f'href="{link}"' in text


def rows_of(response: Any) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_the_csv_file_has_the_filtered_operations_with_their_counts(
    auditor: Client, three: dict[str, Operation]
) -> None:
    query = {"verb": "policy.bind", "state": "failures"}
    rows = rows_of(auditor.get("/operations/operations.csv", query))
    partly, failed = rows
    assert (partly["operation"], failed["operation"]) == (
        str(three["partly"]),
        str(three["failed"]),
    )
    assert (partly["targets"], partly["ok"], partly["failed"]) == ("2", "1", "1")
    assert (partly["policy"], partly["verb"]) == ("quarantine", "policy.bind")
    assert partly["created_at"].endswith("Z")
    event = Event.objects.filter(kind="export").latest("pk")
    assert event.summary == "operations as CSV"
    assert event.detail["filters"] == query


def test_the_csv_file_shows_only_the_operations_of_the_users_spaces(
    three: dict[str, Operation], inventory: Cloud
) -> None:
    viewer = signed_in("viewer")
    Grant.objects.filter(user__username="viewer").delete()
    assert rows_of(viewer.get("/operations/operations.csv")) == []


def test_failures_of_a_cause_are_found_by_an_index(db: None) -> None:
    if connection.vendor == "postgresql":
        pytest.skip("its planner reads a table of a few rows instead")
    rows = Operation.objects.filter(with_failure_code("IOTDA.014000"))
    assert "target_failure_code" in rows.explain()


def test_the_filters_need_no_more_queries(
    auditor: Client, three: dict[str, Operation]
) -> None:
    with CaptureQueriesContext(connection) as plain:
        auditor.get("/operations/")
    query = {"actor": "operator", "ticket": "INC-7", "since": "2020-01-01"}
    with CaptureQueriesContext(connection) as filtered:
        auditor.get("/operations/", query)
    assert len(filtered) <= len(plain)
