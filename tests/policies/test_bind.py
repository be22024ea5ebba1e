"""Bind and unbind policies, and what each answer for a target becomes."""

import re
from html import escape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import Settings

from devices.models import Space
from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Operation
from iotda_admin.operations.web.forms import readable
from policies.models import Binding, Policy
from tests.cloud import Cloud
from tests.conftest import HTMX
from tests.operation_helpers import (
    bind_form,
    change_form,
    make_iotda_unreachable,
    outcome_counts,
    run_workers,
    target_error_codes,
    target_states,
    write_requests,
)

BAD = [
    "a" * 129,
    "a\0b",
    "..",
    "a%2Fb",
    "\u0430bc",
    "<b>x</b>",
    "a/b",
    "x.y",
]


def bind(
    client: Any,
    cloud: Cloud,
    *ids: Any,
    policy: str = "other_policy",
    headers: Any = None,
    **form: Any,
) -> Any:
    policy = cloud.known_ids[policy]
    return client.post(
        f"/policies/{policy}/bind/",
        bind_form(policy, *ids, **form),
        headers=headers or {},
    )


def unbind(client: Any, cloud: Cloud, *ids: Any, **form: Any) -> Any:
    url = f"/policies/{cloud.known_ids['policy']}/unbind/"
    return client.post(url, change_form(target_type="device", target=list(ids), **form))


def only() -> Any:
    return Operation.objects.get()


def test_a_bind_shows_which_targets_failed_and_why(
    policyadmin: Client, inventory: Cloud
) -> None:
    good, full = inventory.free(2), inventory.known_ids["full"]
    response = bind(policyadmin, inventory, *good, full, policy="policy", headers=HTMX)
    assert response.status_code == 200
    assert target_states(only()) == {good[0]: "ok", good[1]: "ok", full: "failed"}
    assert inventory.bound(inventory.known_ids["policy"]) >= set(good)
    for words in (
        "IOTDA.015204",
        "reaches the upper limit (5)",
        "already has 5 policies",
    ):
        assert words in response.text


def test_a_bind_updates_the_inventory(policyadmin: Client, inventory: Cloud) -> None:
    good, full = inventory.free(1)[0], inventory.known_ids["full"]
    bind(policyadmin, inventory, good, full, policy="policy")
    rows = Binding.objects.filter(policy=inventory.known_ids["policy"])
    assert rows.filter(target_id=good).exists()
    assert not rows.filter(target_id=full).exists()


def test_an_htmx_request_gets_the_result_and_its_url(
    policyadmin: Client, inventory: Cloud
) -> None:
    response = bind(policyadmin, inventory, *inventory.free(1), headers=HTMX)
    assert response.headers["HX-Push-Url"] == only().get_absolute_url()
    assert 'id="operation"' in response.text
    assert "<html" not in response.text


def test_pasted_ids_count_once(policyadmin: Client, inventory: Cloud) -> None:
    one, two = inventory.free(2)
    bind(policyadmin, inventory, one, pasted=f"{one},\r\n{two}\r\n\r\n{two};\n{one}\n")
    assert target_states(only()) == {one: "ok", two: "ok"}


@pytest.mark.parametrize("length", [127, 128])
def test_the_longest_id_is_sent_and_rejected_by_iotda(
    policyadmin: Client, inventory: Cloud, length: int
) -> None:
    bind(policyadmin, inventory, pasted="x" * length)
    assert target_error_codes(only()) == {"x" * length: "IOTDA.014000"}


@pytest.mark.parametrize("value", BAD)
def test_a_pasted_line_that_is_not_an_id_is_named(
    policyadmin: Client, inventory: Cloud, value: str
) -> None:
    good = inventory.free(1)[0]
    response = bind(policyadmin, inventory, pasted=f"{good}\n\n{value}\n")
    shown = escape(readable(value)[:60])
    assert response.status_code == 422
    assert f"Line 3: “{shown}" in response.text
    assert good in response.text
    assert not write_requests(inventory)


@pytest.mark.parametrize("value", [*BAD, "a\u202eb", "abc\n", " abc", ""])
@pytest.mark.parametrize("ask", [bind, unbind])
def test_a_selected_target_that_is_not_an_id_is_named(
    policyadmin: Client, inventory: Cloud, ask: Any, value: Any
) -> None:
    response = ask(policyadmin, inventory, inventory.free(1)[0], value)
    assert response.status_code == 422
    assert escape(readable(value)[:60]) in response.text
    assert "is not an ID" in response.text
    assert not write_requests(inventory)


@pytest.mark.parametrize(
    "value", ["a" * 129, "..", "%2F", "a%00b", "a%0A", "%D0%B0bc", "<b>"]
)
@pytest.mark.parametrize("end", ["", "bind/", "unbind/"])
def test_an_invalid_policy_id_reaches_neither_database_nor_iotda(
    policyadmin: Client, inventory: Cloud, value: str, end: str
) -> None:
    seen = len(inventory.journal())
    assert policyadmin.get(f"/policies/{value}/{end}").status_code == 404
    assert len(inventory.journal()) == seen


@pytest.mark.parametrize("value", ["", "nope", "a\0b", "' OR 1=1", "x" * 500])
def test_a_missing_policy_is_a_field_error(
    policyadmin: Client, inventory: Cloud, value: str
) -> None:
    form = bind_form(value, *inventory.free(1))
    response = policyadmin.post("/policies/selection.bind/", form)
    assert response.status_code == 422
    assert "policy-error" in response.text
    assert 'value="billing dispute"' in response.text


@pytest.mark.parametrize(
    "data",
    [
        {"q": "a\0b", "act": "find"},
        {"policy": "\0", "act": "add:\0"},
        {"target_type": "\0"},
    ],
)
def test_a_search_without_results_shows_the_form(
    policyadmin: Client, inventory: Cloud, data: dict[str, Any]
) -> None:
    assert policyadmin.post("/policies/selection.bind/", data).status_code == 200


def test_an_empty_selection_is_an_error(policyadmin: Client, inventory: Cloud) -> None:
    response = bind(policyadmin, inventory)
    assert response.status_code == 422
    assert "Choose at least one target" in response.text


def test_policies_with_the_same_name_show_their_space(
    policyadmin: Client, inventory: Cloud
) -> None:
    for row in Space.objects.all()[:2]:
        Policy.objects.create(policy_id=f"of-{row.pk}", name="twin", app_id=row.pk)
    options = re.findall(
        r"<option[^>]*>\s*([^<]*?)\s*<",
        policyadmin.get("/policies/selection.bind/").text,
    )
    assert {f"twin · {row.name}" for row in Space.objects.all()[:2]} <= set(options)
    assert len(set(options)) == len(options)


def test_targets_can_be_picked_without_scripts(
    policyadmin: Client, inventory: Cloud
) -> None:
    device = inventory.free(1)[0]
    data = {
        "policy": inventory.known_ids["other_policy"],
        "act": f"add:{device}",
        "reason": "why",
        "pasted": "x",
    }
    response = policyadmin.post("/policies/selection.bind/", data)
    assert f'name="target" value="{device}"' in response.text
    assert 'value="why"' in response.text
    assert not Operation.objects.exists()


@pytest.mark.parametrize("answer", ["success", "failure"])
@pytest.mark.parametrize("known", [True, False])
def test_a_second_bind_is_recorded_as_already(
    policyadmin: Client, inventory: Cloud, answer: str, known: bool
) -> None:
    inventory.switch(already_bound=answer)
    device = min(inventory.bound(inventory.known_ids["policy"]))
    if not known:
        Binding.objects.all().delete()
    bind(policyadmin, inventory, device, policy="policy")
    assert outcome_counts(only()) == {"already": 1}


def test_an_unbind_of_an_unknown_device_fails(
    policyadmin: Client, inventory: Cloud
) -> None:
    unbind(policyadmin, inventory, "no-such-device")
    assert target_error_codes(only()) == {"no-such-device": "IOTDA.014000"}
    assert outcome_counts(only()) == {"failed": 1}


@pytest.mark.parametrize("answer", ["success", "failure"])
def test_an_unbind_of_an_unbound_target_is_already(
    policyadmin: Client, inventory: Cloud, answer: str
) -> None:
    inventory.switch(not_bound=answer)
    unbind(policyadmin, inventory, inventory.free(1)[0])
    assert outcome_counts(only()) == {"already": 1}


def test_an_unbind_unbinds_the_targets(policyadmin: Client, inventory: Cloud) -> None:
    policy = inventory.known_ids["policy"]
    device, *others = sorted(inventory.bound(policy))
    unbind(policyadmin, inventory, device)
    assert outcome_counts(only()) == {"ok": 1}
    assert inventory.bound(policy) == set(others)
    assert not Binding.objects.filter(policy=policy, target_id=device).exists()


def test_a_policy_is_bound_to_a_product(policyadmin: Client, inventory: Cloud) -> None:
    product = inventory.known_ids["product"]
    bind(policyadmin, inventory, product, target_type="product")
    assert inventory.bound(inventory.known_ids["other_policy"], "product") == {product}


def test_binding_a_whole_space_requires_its_name(
    policyadmin: Client, inventory: Cloud
) -> None:
    space = inventory.known_ids["space"]
    response = bind(
        policyadmin, inventory, space, target_type="app", space_name="almost"
    )
    assert response.status_code == 422
    assert "Type the name exactly" in response.text
    assert not write_requests(inventory)


@pytest.mark.parametrize(
    ("name", "typed"), [("", ""), ("plant", " plant"), ("plant", "")]
)
def test_a_confirmation_without_the_typed_name_is_rejected(
    policyadmin: Client, inventory: Cloud, name: str, typed: str
) -> None:
    space = inventory.known_ids["space"]
    Space.objects.filter(pk=space).update(name=name)
    response = bind(policyadmin, inventory, space, target_type="app", space_name=typed)
    assert response.status_code == 422
    assert not write_requests(inventory)


def test_a_name_with_a_space_at_its_end_can_be_typed(
    policyadmin: Client, inventory: Cloud
) -> None:
    space = inventory.known_ids["space"]
    Space.objects.filter(pk=space).update(name="plant ")
    bind(policyadmin, inventory, space, target_type="app", space_name="plant ")
    assert outcome_counts(only()) == {"ok": 1}


def test_unbinding_without_a_selection_redirects_to_the_policy(
    policyadmin: Client, inventory: Cloud
) -> None:
    url = f"/policies/{inventory.known_ids['policy']}/"
    assert policyadmin.get(f"{url}unbind/")["Location"] == url


def test_a_whole_space_is_bound_once_its_name_is_typed(
    policyadmin: Client, inventory: Cloud
) -> None:
    space = Space.objects.get(pk=inventory.known_ids["space"])
    bind(policyadmin, inventory, space.pk, target_type="app", space_name=space.name)
    assert inventory.bound(inventory.known_ids["other_policy"], "app") == {space.pk}


def test_binding_a_whole_space_requires_its_own_permission(
    policyadmin: Client, inventory: Cloud
) -> None:
    Permission.objects.get(codename="bind_space").group_set.clear()
    space = Space.objects.get(pk=inventory.known_ids["space"])
    response = bind(
        policyadmin, inventory, space.pk, target_type="app", space_name=space.name
    )
    assert response.status_code == 403
    assert Event.objects.get(kind="denied").detail["needs"] == "policies.bind_space"
    assert not write_requests(inventory)


def test_an_unreachable_iotda_is_shown_and_recorded(
    policyadmin: Client, inventory: Cloud, settings: Settings
) -> None:
    make_iotda_unreachable(settings)
    response = bind(policyadmin, inventory, *inventory.free(2), headers=HTMX)
    assert response.status_code == 502
    assert outcome_counts(only()) == {"failed": 2}
    assert set(target_error_codes(only()).values()) == {"not_sent"}


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "IOTDA.015201"), (403, "IOTDA.000022"), (401, "APIGW.0301")],
)
def test_a_rejection_of_the_first_call_stops_the_rest(
    policyadmin: Client, inventory: Cloud, status: int, code: str
) -> None:
    answer: Any = {"status": status, "error_code": code, "error_msg": "No."}
    inventory.fault("BindDevicePolicy", "status", **answer)
    if status == 404:
        # Without this, it may be the answer about another policy.
        inventory.fault("ShowDevicePolicy", "status", **answer)
    ids = [f"d{n}" for n in range(45)]
    bind(policyadmin, inventory, pasted="\n".join(ids))
    run_workers()
    assert outcome_counts(only()) == {"failed": 20, "skipped": 25}
    assert only().state == "stopped"
    assert only().stop_code == code
    assert len(write_requests(inventory)) == 1


def test_a_403_with_an_unknown_code_refuses_a_target_not_the_operation(
    policyadmin: Client, inventory: Cloud
) -> None:
    ids = [*inventory.free(10), *(f"nobody-{n}" for n in range(35))]
    inventory.fault(
        "BindDevicePolicy",
        "status",
        match={"ids": [ids[1]]},
        status=403,
        error_code="IOTDA.019999",
        error_msg="The device is under contract.",
    )
    bind(policyadmin, inventory, pasted="\n".join(ids), other_space="on")
    run_workers()
    assert outcome_counts(only()) == {"failed": 36, "ok": 9}
    assert target_error_codes(only())[ids[1]] == "IOTDA.019999"
    text = policyadmin.get(only().get_absolute_url()).text
    assert "IoTDA Admin does not know this error code." in text
    assert "The device is under contract." in text
    assert "permission" not in text


@pytest.mark.parametrize(
    ("status", "code"), [(400, "IOTDA.000006"), (403, "IOTDA.001000")]
)
def test_one_bad_id_does_not_fail_the_other_targets(
    policyadmin: Client, inventory: Cloud, status: int, code: str
) -> None:
    ids = inventory.free(3)
    inventory.fault(
        "BindDevicePolicy",
        "status",
        match={"ids": [ids[1]]},
        status=status,
        error_code=code,
    )
    bind(policyadmin, inventory, *ids)
    assert outcome_counts(only()) == {"pending": 3}
    run_workers()
    assert target_states(only()) == {ids[0]: "ok", ids[1]: "failed", ids[2]: "ok"}
    assert target_error_codes(only())[ids[1]] == code


def test_targets_of_another_space_are_sent_only_when_confirmed(
    policyadmin: Client, inventory: Cloud
) -> None:
    inventory.switch(cross_space="failure")
    known = inventory.known_ids
    own = known["free_by_space"][known["space"]][0]
    far = known["free_by_space"][known["other_space"]][0]
    found = policyadmin.post(
        "/policies/selection.bind/",
        bind_form(known["policy"], own, far, act="find"),
    )
    asked = bind(policyadmin, inventory, own, far, policy="policy")
    for page, status in ((found, 200), (asked, 422)):
        text = " ".join(page.text.split())
        assert page.status_code == status
        assert "1 target is in another resource space than the policy." in text
        assert "assumed that IoTDA refuses targets of other spaces" in text
        assert text.count("in another resource space </span>") == 1
    assert not Operation.objects.exists()
    bind(policyadmin, inventory, own, far, policy="policy", other_space="on")
    assert target_states(only()) == {own: "ok", far: "failed"}


def test_a_policy_of_the_whole_instance_needs_no_confirmation(
    policyadmin: Client, inventory: Cloud
) -> None:
    known = inventory.known_ids
    Policy.objects.filter(pk=known["policy"]).update(app_id="")
    far = known["free_by_space"][known["other_space"]][0]
    bind(policyadmin, inventory, far, policy="policy")
    assert list(target_states(only())) == [far]


def test_a_binding_of_another_space_is_unbound_without_a_question(
    policyadmin: Client, inventory: Cloud
) -> None:
    known = inventory.known_ids
    far = known["free_by_space"][known["other_space"]][0]
    unbind(policyadmin, inventory, far)
    assert list(target_states(only())) == [far]
