"""Open failures are listed by cause, to users who may see their operation."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from iotda_admin.access.models import Grant
from iotda_admin.failures import queries
from iotda_admin.operations.cli.report import as_lines
from iotda_admin.operations.models import Operation, Target
from tests.cloud import Cloud
from tests.operation_helpers import make_iotda_unreachable

FULL = "/failures/?code=IOTDA.015204"


def test_failures_are_grouped_by_cause_with_a_next_step(
    me: Client, full: Operation
) -> None:
    text = me.get("/failures/").text
    assert "The target already has 5 policies, the maximum in IoTDA." in text
    assert "Unbind a policy it no longer needs, then bind this one again." in text
    assert "?code=IOTDA.015204" in text


def test_a_cause_has_its_own_url_with_its_targets(
    me: Client, full: Operation, inventory: Cloud
) -> None:
    text = me.get(FULL).text
    assert f'href="/devices/{inventory.known_ids["full"]}/"' in text
    assert f">{full}</a>" in text
    assert "INC-7" in text


def test_an_unknown_code_is_shown_unchanged_everywhere(
    me: Client, full: Operation
) -> None:
    Target.objects.update(error_code="WEIRD<b>")
    for url in ("/failures/", "/failures/?code=WEIRD<b>", full.get_absolute_url()):
        text = me.get(url).text
        assert ">WEIRD&lt;b&gt;<" in text
        assert "IoTDA Admin does not know this error code." in text
    table = b"".join(me.get(f"{full.get_absolute_url()}failures.csv")).decode()
    assert '"WEIRD<b>"' in table
    assert "IoTDA Admin does not know this error code." in table
    said = "\n".join(as_lines(full, "bound"))
    assert "IoTDA says: WEIRD<b>" in said
    assert "IoTDA Admin does not know this error code." in said


def test_failures_of_other_spaces_are_not_listed(
    policyadmin: Client, full: Operation
) -> None:
    assert "IOTDA.015204" in policyadmin.get("/failures/").text
    Grant.objects.filter(user__username="policyadmin").update(app_id="elsewhere")
    assert "No open failures." in policyadmin.get("/failures/").text
    taken = policyadmin.post("/failures/take/", {"target": full.targets.get().pk})
    assert taken.status_code == 404


def test_unknown_outcomes_are_one_group_and_come_first(
    me: Client,
    start_operation: Callable[..., Operation],
    full: Operation,
    inventory: Cloud,
) -> None:
    inventory.fault("BindDevicePolicy", "drop", moment="after")
    start_operation("policy.bind", *inventory.free(2), policy="policy")
    text = me.get("/failures/").text
    assert text.index("?state=unknown") < text.index("?code=IOTDA.015204")
    assert inventory.free(1)[0] in me.get("/failures/?state=unknown").text


def test_a_failure_is_not_listed_while_it_is_retried(
    me: Client,
    record_operation: Callable[..., Operation],
    full: Operation,
    inventory: Cloud,
) -> None:
    record_operation("policy.bind", inventory.known_ids["full"], policy="policy")
    assert "No open failures." in me.get("/failures/").text


def test_an_operator_sees_only_own_failures(operator: Client, full: Operation) -> None:
    assert "No open failures." in operator.get("/failures/").text
    assert "No open failures here." in operator.get(FULL).text


def test_failures_of_others_do_not_hide_own_failures(
    operator: Client,
    start_operation: Callable[..., Operation],
    full: Operation,
    inventory: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queries, "COUNT_LIMIT", 1)
    monkeypatch.setattr(queries, "CODES_SHOWN", 1)
    inventory.fault("BindDevicePolicy", "drop", moment="after")
    unknown = [
        start_operation("policy.bind", each, policy="policy")
        for each in inventory.free(4)
    ]
    operator_id = User.objects.get(username="operator").pk
    Operation.objects.filter(pk=unknown[1].pk).update(actor=operator_id)
    own = unknown[1].targets.get().target_id
    assert own in operator.get("/failures/?state=unknown").text
    Operation.objects.filter(pk=unknown[1].pk).update(actor=unknown[0].actor_id)
    Operation.objects.filter(pk=full.pk).update(actor=operator_id)
    Target.objects.filter(operation__in=unknown).update(error_code="A")
    assert "?code=IOTDA.015204" in operator.get("/failures/").text


FOUND = [
    "ticket=inc-7",
    "ticket=INC-7%E2%80%8B",
    "ticket=“INC-7”",
    "verb=policy.bind",
    "owner=nobody",
]
MISSED = [
    "ticket=INC-8",
    "verb=device.freeze",
    "owner=me",
    "owner=li.wei",
    "target=nobody-1",
    "can=retry",
    "can=hopeless",
]


def test_the_url_filters_the_list(me: Client, full: Operation) -> None:
    found = {
        query: "IoTDA said" in me.get(f"/failures/?{query}").text
        for query in [*FOUND, *MISSED]
    }
    assert found == dict.fromkeys(FOUND, True) | dict.fromkeys(MISSED, False)


def test_an_assignee_is_found_in_any_case(me: Client, full: Operation) -> None:
    me.post("/failures/take/", {"target": full.targets.get().pk})
    name = full.targets.get().assignment.assignee_name
    for typed in (name.upper(), name.title(), f"{name}\u200b"):
        assert "IoTDA said" in me.get("/failures/", {"owner": typed}).text


def test_an_invalid_filter_is_ignored(me: Client, full: Operation) -> None:
    for query in [
        "verb=melt",
        "target=a%00b",
        "code=a%00b",
        "after=x",
        "owner=%00",
        "asked=x,9",
    ]:
        assert me.get(f"/failures/?{query}").status_code == 200


def test_five_policies_are_shown_with_a_way_to_unbind_each(
    me: Client, full: Operation, inventory: Cloud
) -> None:
    target = inventory.known_ids["full"]
    assert f"/policies/of.target/{target}/?target_type=device" in me.get(FULL).text
    text = me.get(f"/policies/of.target/{target}/?target_type=device").text
    assert "5 of 5 used" in text
    assert text.count(f"/unbind/?target_type=device&amp;target={target}") == 5


def test_the_overview_counts_open_failures(
    me: Client,
    start_operation: Callable[..., Operation],
    settings: Settings,
    inventory: Cloud,
) -> None:
    make_iotda_unreachable(settings)
    start_operation("device.freeze", inventory.free(1)[0])
    assert "to resolve" in me.get("/").text
