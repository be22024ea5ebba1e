"""Choose a policy of a full target on its page, and replace it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from iotda_admin.access.actor import Actor
from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Operation
from iotda_admin.rate import connection, page_reads, store
from iotda_admin.rate.hook import PageRateLimiter
from iotda_admin.rate.limits import account_limit
from iotda_admin.rate.models import PlatformState
from policies import replacement
from policies.models import Binding, Policy
from tests.cloud import Cloud
from tests.conftest import HTMX
from tests.operation_helpers import (
    KEY,
    change_form,
    make_iotda_unreachable,
    outcome_counts,
)
from tests.policies.replacement.conftest import (
    bind_elsewhere,
    choices,
    on_target,
    page_of,
    pair,
    sent,
    text_of,
    unbind_elsewhere,
)


def test_the_page_shows_the_policies_as_iotda_has_them_now(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    Binding.objects.all().delete()
    text = me.get(page_of(failed)).text
    assert sorted(choices(text)) == on_target(inventory, failed)
    assert "It has 5 of 5 policies, so quarantine does not fit." in text_of(text)
    assert 'name="ticket" value="INC-7"' in text


def test_the_operation_and_the_failures_lead_to_the_page(
    me: Client, failed: Operation
) -> None:
    assert f'href="{page_of(failed)}"' in me.get(failed.get_absolute_url()).text
    listed = me.get("/failures/?code=IOTDA.015204").text
    assert f'href="{page_of(failed)}?back=failures"' in listed


def test_the_chosen_policy_is_unbound_and_the_other_bound(
    me: Client, failed: Operation, inventory: Cloud, actor: Actor
) -> None:
    chosen, *kept = on_target(inventory, failed)
    response = me.post(page_of(failed), change_form(unbind=chosen))
    assert response["Location"] == failed.get_absolute_url()
    assert sent(inventory, 1) == [
        ("UnbindDevicePolicy", chosen),
        ("BindDevicePolicy", failed.policy_id),
    ]
    assert on_target(inventory, failed) == sorted([*kept, failed.policy_id])
    unbind, bind = pair()
    assert bind.retry_of == failed
    for each in (unbind, bind):
        assert outcome_counts(each) == {"ok": 1}
        assert (each.actor, each.reason) == (actor.user, "billing dispute")
        assert Event.objects.filter(kind="operation.ended", operation=each.pk).exists()
    assert unbind.policy_name == Policy.objects.get(pk=chosen).name


def test_afterwards_the_failure_is_resolved_and_links_to_both(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    form = change_form(unbind=on_target(inventory, failed)[0])
    page = me.post(page_of(failed), form, follow=True).text
    unbind, bind = pair()
    assert f"Resolved: {bind}" in text_of(page)
    for each in (unbind, bind):
        assert f'href="{each.get_absolute_url()}"' in page
    assert "Replace a policy" not in page
    assert f'href="{bind.get_absolute_url()}"' in me.get(unbind.get_absolute_url()).text
    assert f'href="{unbind.get_absolute_url()}"' in me.get(bind.get_absolute_url()).text


def test_htmx_gets_the_operation_and_closes_the_dialog(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    dialog = me.get(page_of(failed), headers=HTMX).text
    assert 'hx-target="#operation"' in dialog
    assert "<html" not in dialog
    form = change_form(unbind=on_target(inventory, failed)[0])
    response = me.post(page_of(failed), form, headers=HTMX)
    assert "dialog:close" in response["HX-Trigger"]
    assert response.text.lstrip().startswith("<title>")
    assert f"Resolved: {pair()[1]}" in text_of(response.text)


def test_an_htmx_form_with_an_error_stays_in_the_dialog(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    response = me.post(page_of(failed), change_form(unbind=""), headers=HTMX)
    assert (response.status_code, response["HX-Retarget"]) == (422, "#dialog-body")
    assert "Choose the policy to unbind." in response.text


@pytest.mark.parametrize("missing", ["unbind", "reason", "key"])
def test_an_incomplete_form_sends_nothing(
    me: Client, failed: Operation, inventory: Cloud, missing: str
) -> None:
    form = change_form(unbind=on_target(inventory, failed)[0]) | {missing: ""}
    assert me.post(page_of(failed), form).status_code == 422
    assert Operation.objects.count() == 1
    assert sent(inventory, 1) == []


def test_all_errors_of_a_form_are_shown_at_once(me: Client, failed: Operation) -> None:
    text = me.post(page_of(failed), change_form(unbind="", reason="")).text
    assert "Choose the policy to unbind." in text
    assert "Say why" in text


def test_the_failures_list_shows_both_operations_afterwards(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    form = change_form(unbind=on_target(inventory, failed)[0])
    response = me.post(f"{page_of(failed)}?back=failures", form, follow=True)
    path, _status = response.redirect_chain[-1]
    assert path.startswith("/failures/?code=IOTDA.015204&asked=")
    for each in pair():
        assert f'href="{each.get_absolute_url()}"' in response.text


# Changes at IoTDA meanwhile


def test_with_room_by_now_the_page_only_binds(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    unbind_elsewhere(inventory, failed, on_target(inventory, failed)[0])
    text = me.get(page_of(failed)).text
    assert choices(text) == []
    assert "It has 4 of 5 policies now: there is room for quarantine." in text_of(text)
    me.post(page_of(failed), change_form())
    assert sent(inventory, 1) == [("BindDevicePolicy", failed.policy_id)]
    again = Operation.objects.get(retry_of=failed)
    assert (outcome_counts(again), again.after) == ({"ok": 1}, None)


def test_with_room_by_now_the_chosen_policy_stays(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    chosen, other, *_rest = on_target(inventory, failed)
    unbind_elsewhere(inventory, failed, other)
    response = me.post(page_of(failed), change_form(unbind=chosen))
    assert response.status_code == 409
    assert "A policy was unbound meanwhile" in response.text
    assert choices(response.text) == []
    assert Operation.objects.count() == 1
    assert chosen in on_target(inventory, failed)


def test_a_policy_that_is_no_longer_bound_cannot_be_chosen(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    chosen = on_target(inventory, failed)[0]
    target = failed.targets.get().target_id
    unbind_elsewhere(inventory, failed, chosen)
    others = set(Policy.objects.values_list("pk", flat=True)) - {
        *on_target(inventory, failed),
        chosen,
        failed.policy_id,
    }
    bind_elsewhere(inventory, min(others), target)
    response = me.post(page_of(failed), change_form(unbind=chosen))
    assert response.status_code == 409
    assert "no longer bound. Choose another one." in response.text
    assert min(others) in choices(response.text)
    assert Operation.objects.count() == 1


def test_a_resolved_failure_is_not_replaced(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    failed.targets.update(resolved_at="2026-01-02T03:04:05Z", resolved_by="ada: done")
    chosen = on_target(inventory, failed)[0]
    page = me.get(page_of(failed))
    assert (page.status_code, choices(page.text)) == (200, [])
    assert "This failure is resolved: ada: done." in page.text
    response = me.post(page_of(failed), change_form(unbind=chosen))
    assert response.status_code == 409
    assert Operation.objects.count() == 1


def test_policies_with_too_many_targets_are_shown_by_the_last_sync(
    me: Client, failed: Operation, inventory: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacement, "READ_SHARE", 0)
    text = me.get(page_of(failed)).text
    assert sorted(choices(text)) == on_target(inventory, failed)
    assert text.count("By the last sync") == 5


def test_without_an_answer_of_iotda_nothing_can_be_chosen(
    me: Client, failed: Operation, inventory: Cloud, settings: Settings
) -> None:
    chosen = on_target(inventory, failed)[0]
    make_iotda_unreachable(settings)
    assert me.get(page_of(failed)).status_code == 503
    response = me.post(page_of(failed), change_form(unbind=chosen))
    assert response.status_code == 503
    assert "Nothing was sent." in response.text
    assert Operation.objects.count() == 1


def test_a_slow_answer_is_no_outage(
    transactional_db: None,
    me: Client,
    failed: Operation,
    inventory: Cloud,
    settings: Settings,
) -> None:
    connection.client()  # each call has longer than the page
    settings.IOTDA_DEADLINE = 0.2
    inventory.fault("ListDevicePolicies", "hang", seconds=5)
    for _ in range(3):
        response = me.get(page_of(failed))
    assert response.status_code == 503
    assert "IoTDA is busy." in response.text
    assert not PlatformState.objects.exists()


def test_the_page_waits_for_the_rate_limit(
    paced: Callable[..., Any],
    me: Client,
    failed: Operation,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page_reads, "page_limiter", PageRateLimiter())
    settings.IOTDA_DEADLINE = 20
    paced(100, 100)
    store.pause_slots(account_limit(), 3)
    response = me.get(page_of(failed))
    assert response.status_code == 200
    assert len(choices(response.text)) == 5


def test_a_replacement_takes_no_place_of_pages(
    me: Client, failed: Operation, inventory: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = on_target(inventory, failed)[0]
    monkeypatch.setattr(page_reads.page_places, "number", 0)
    assert me.get(page_of(failed)).status_code == 503
    assert me.post(page_of(failed), change_form(unbind=chosen)).status_code == 302
    assert sent(inventory, 1)[0] == ("UnbindDevicePolicy", chosen)


def test_the_form_is_kept_when_the_session_has_ended(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    chosen = on_target(inventory, failed)[0]
    owner = re.search(r'name="shown_to" value="([^"]+)"', me.get(page_of(failed)).text)
    assert owner
    form = change_form(unbind=chosen, shown_to=owner[1], key=KEY)
    url = Client().post(page_of(failed), form)["Location"]
    assert "kept" in url
    kept = re.search(r"kept%3D(\w+)", url)
    assert kept
    text = me.get(f"{page_of(failed)}?kept={kept[1]}").text
    assert re.search(rf'value="{chosen}"[^>]*checked', text)
    assert 'value="billing dispute"' in text
    assert Operation.objects.count() == 1
