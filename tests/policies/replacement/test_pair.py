"""The bind of a replacement waits for its unbind, through lost answers and crashes."""

from dataclasses import replace

import pytest
from django.test import Client

from iotda_admin.access.actor import Actor
from iotda_admin.operations.execution.held_work import hold_operations
from iotda_admin.operations.models import Operation
from iotda_admin.operations.requests import OperationRequest, TargetSpec
from iotda_admin.operations.services import (
    OperationRejected,
    dispatch,
    record_pair,
)
from iotda_admin.rate.connection import client as iotda
from policies.replacement import Replacement
from tests.cloud import Cloud
from tests.operation_helpers import (
    KEY,
    change_form,
    make_everything_due,
    outcome_counts,
    reconcile_now,
    run_workers,
)
from tests.policies.replacement.conftest import on_target, page_of, pair, sent, text_of


def test_a_failed_unbind_leaves_the_bind_unsent(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    inventory.fault("UnbindDevicePolicy", "status", status=400, error_code="IOTDA.9")
    chosen = on_target(inventory, failed)[0]
    page = me.post(page_of(failed), change_form(unbind=chosen), follow=True).text
    unbind, bind = pair()
    run_workers()
    assert [name for name, _policy in sent(inventory, 1)] == ["UnbindDevicePolicy"]
    assert (outcome_counts(unbind), outcome_counts(bind)) == (
        {"failed": 1},
        {"skipped": 1},
    )
    assert bind.state == "stopped"
    words = f"{unbind} (Unbind {unbind.policy_name}) was not done"
    assert f"{words}, so {bind} (Bind quarantine) was not sent." in text_of(page)
    assert "Replace a policy" in page
    assert failed.targets.get().resolved_at is None
    text = text_of(me.get(bind.get_absolute_url()).text)
    assert f"Stopped: the rest was not sent. {unbind} was not done." in text


def test_a_lost_answer_of_the_unbind_keeps_the_bind_waiting(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    inventory.fault("UnbindDevicePolicy", "drop", moment="after")
    chosen = on_target(inventory, failed)[0]
    page = me.post(page_of(failed), change_form(unbind=chosen), follow=True).text
    unbind, bind = pair()
    assert "IoTDA gave no clear answer" in text_of(page)
    assert f"/operations/{unbind.pk}/check/" in page
    assert 's, reload"' in page
    assert "Replace a policy" not in page
    make_everything_due()
    run_workers()
    dispatch(bind, iotda())
    assert [name for name, _policy in sent(inventory, 1)] == ["UnbindDevicePolicy"]
    inventory.heal()
    reconcile_now()
    run_workers()
    assert (outcome_counts(unbind), outcome_counts(bind)) == ({"ok": 1}, {"ok": 1})
    assert failed.policy_id in on_target(inventory, failed)


def test_an_unbind_that_was_not_applied_leaves_the_bind_unsent(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    inventory.fault("UnbindDevicePolicy", "drop", moment="before")
    chosen = on_target(inventory, failed)[0]
    me.post(page_of(failed), change_form(unbind=chosen))
    unbind, bind = pair()
    inventory.heal()
    for _read in range(4):
        reconcile_now()
    make_everything_due()
    run_workers()
    assert outcome_counts(unbind).keys() == {"failed"}
    assert outcome_counts(bind) == {"skipped": 1}
    assert failed.policy_id not in on_target(inventory, failed)


def test_a_throttled_unbind_and_its_bind_are_sent_by_a_worker(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    inventory.fault("UnbindDevicePolicy", "throttle", retry_after=60)
    chosen = on_target(inventory, failed)[0]
    page = me.post(page_of(failed), change_form(unbind=chosen), follow=True).text
    unbind, bind = pair()
    assert f"is not done yet. {bind} (Bind quarantine) is sent after" in text_of(page)
    inventory.heal()
    make_everything_due()
    run_workers()
    assert (outcome_counts(unbind), outcome_counts(bind)) == ({"ok": 1}, {"ok": 1})


def test_a_cancelled_unbind_leaves_the_bind_unsent(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    inventory.fault("UnbindDevicePolicy", "throttle", retry_after=60)
    chosen = on_target(inventory, failed)[0]
    me.post(page_of(failed), change_form(unbind=chosen))
    unbind, bind = pair()
    me.post(f"{unbind.get_absolute_url()}cancel/")
    inventory.heal()
    make_everything_due()
    run_workers()
    assert (outcome_counts(unbind), outcome_counts(bind)) == (
        {"cancelled": 1},
        {"skipped": 1},
    )
    assert sent(inventory, 2) == []


@pytest.fixture
def requests(
    failed: Operation, inventory: Cloud
) -> tuple[OperationRequest, OperationRequest]:
    target = failed.targets.get()
    specs = [TargetSpec(target.target_id, target.name)]
    chosen = on_target(inventory, failed)[0]
    unbind = OperationRequest(
        "policy.unbind", specs, "why", "1", policy_id=chosen, policy_name="telemetry"
    )
    bind = replace(
        unbind,
        verb="policy.bind",
        key="2",
        policy_id=failed.policy_id,
        policy_name="quarantine",
        retry_of=failed,
    )
    return unbind, bind


@pytest.fixture
def recorded(
    requests: tuple[OperationRequest, OperationRequest], actor: Actor
) -> Operation:
    """An unbind and its bind, recorded by a process that was killed then.

    Return the unbind.
    """
    return record_pair(*requests, actor, lambda: None)


def test_a_failure_that_is_resolved_at_the_last_moment_records_nothing(
    requests: tuple[OperationRequest, OperationRequest],
    failed: Operation,
    actor: Actor,
    inventory: Cloud,
) -> None:
    failed.targets.update(resolved_at="2026-01-02T03:04:05Z", resolved_by="ada: done")
    said = {"reason": "why", "ticket": "", "key": KEY}
    target = failed.targets.get()
    with pytest.raises(OperationRejected, match="resolved: ada: done"):
        Replacement(target, said, requests[0].policy_id).send(actor, iotda())
    assert Operation.objects.count() == 1
    assert sent(inventory, 1) == []


def test_a_worker_sends_what_a_killed_process_recorded(
    recorded: Operation, failed: Operation, inventory: Cloud
) -> None:
    run_workers()
    assert sent(inventory, 1) == [
        ("UnbindDevicePolicy", recorded.policy_id),
        ("BindDevicePolicy", failed.policy_id),
    ]


@pytest.mark.parametrize("page", ["failed", "recorded", "bind"])
def test_after_a_crash_in_between_one_button_goes_on(
    me: Client, recorded: Operation, failed: Operation, inventory: Cloud, page: str
) -> None:
    dispatch(recorded, iotda())
    bind = recorded.successors.get()
    shown = {"failed": failed, "recorded": recorded, "bind": bind}[page]
    text = me.get(shown.get_absolute_url()).text
    words = f"{recorded} (Unbind telemetry) is done. {bind} (Bind quarantine) is not"
    assert words in text_of(text)
    assert "Bind quarantine now" in text
    url = f"/operations/{bind.pk}/continue/?back={shown.pk}"
    assert f'action="{url}"' in text
    response = me.post(url)
    assert response["Location"] == shown.get_absolute_url()
    assert outcome_counts(bind) == {"ok": 1}
    assert "Bind quarantine now" not in me.get(shown.get_absolute_url()).text


def test_the_button_of_a_bind_that_waits_sends_nothing(
    me: Client, recorded: Operation, inventory: Cloud
) -> None:
    bind = recorded.successors.get()
    me.post(f"/operations/{bind.pk}/continue/")
    assert sent(inventory, 1) == []


def test_both_wait_for_their_own_button_after_a_restore(
    me: Client, recorded: Operation, failed: Operation, inventory: Cloud
) -> None:
    hold_operations(Operation.PauseCause.RESTORED, [Operation.State.RUNNING])
    bind = recorded.successors.get()
    for _read in range(4):
        reconcile_now()
    make_everything_due()
    run_workers()
    assert sent(inventory, 1) == []
    me.post(f"{recorded.get_absolute_url()}continue/")
    run_workers()
    assert (outcome_counts(recorded), outcome_counts(bind)) == (
        {"ok": 1},
        {"pending": 1},
    )
    assert "Bind quarantine now" in me.get(failed.get_absolute_url()).text
    me.post(f"{bind.get_absolute_url()}continue/?back={failed.pk}")
    run_workers()
    assert outcome_counts(bind) == {"ok": 1}


def test_a_user_who_lost_the_permission_binds_nothing(
    recorded: Operation, actor: Actor, inventory: Cloud
) -> None:
    dispatch(recorded, iotda())
    assert actor.user
    actor.user.groups.clear()
    run_workers()
    bind = recorded.successors.get()
    assert (outcome_counts(bind), bind.stop_code) == ({"skipped": 1}, "not_allowed")
