"""A change without a clear answer is unknown until read back, and not sent again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from iotda_admin.audit.models import Event
from iotda_admin.operations.execution import reconciliation
from iotda_admin.operations.models import Chunk, Operation
from iotda_admin.rate import connection
from tests.cloud import Cloud
from tests.conftest import HTMX
from tests.operation_helpers import (
    make_everything_due,
    make_iotda_unreachable,
    outcome_counts,
    reconcile_now,
    run_workers,
    target_error_codes,
    target_states,
    write_requests,
)
from tests.samples import BY_VERB, SAMPLES, known_objects

WIRE = [
    "hang",
    "drop",
    "reset",
    "truncate",
    "html",
    "error_200",
    "empty",
    "bad_json",
    "redirect",
    "deep_json",
    "drip_headers",
]
STATUSES = [500, 502, 504]
SHAPES = [
    "missing_target",
    "both_lists",
    "wrong_policy_id",
    "extra_target",
    "bad_types",
]


@pytest.fixture
def targets(inventory: Cloud) -> dict[str, Any]:
    """For each verb something that it would change."""
    known = inventory.known_ids
    return {
        "device.freeze": [known["online"]],
        "device.unfreeze": [known["frozen"]],
        "policy.bind": inventory.free(2),
        "policy.unbind": sorted(inventory.bound(known["policy"]))[:2],
    }


@pytest.fixture
def spoil(inventory: Cloud, settings: Settings) -> Callable[..., Any]:
    """The next write goes wrong, before or after the platform has made the change."""

    def wait_for(seconds: Any) -> None:
        settings.IOTDA_DEADLINE = seconds
        connection.client.cache_clear()

    def spoil(verb: Any, fault: Any, moment: Any) -> Any:
        wait_for(0.8 if fault in ("hang", "drip_headers") else 10)
        args = {"status": fault} if isinstance(fault, int) else {}
        name = "status" if isinstance(fault, int) else fault
        inventory.fault(
            BY_VERB[verb].request, name, match={"times": 1}, moment=moment, **args
        )
        return wait_for

    return spoil


def spoilt(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    verb: Any,
    fault: Any,
    moment: Any,
) -> Any:
    over = spoil(verb, fault, moment)
    operation = start_operation(
        verb,
        *targets[verb],
        policy="policy" if verb == "policy.unbind" else "other_policy",
    )
    over(10)
    return operation


@pytest.mark.parametrize(
    ("verb", "fault"),
    [(verb, fault) for verb in ("device.freeze", "policy.bind") for fault in (*WIRE, *STATUSES)
     # A freeze is answered by 204 without a body: nothing of it can be cut off or nested.
     if verb == "policy.bind" or fault not in ("truncate", "deep_json")],
)  # fmt: skip
def test_an_applied_change_is_read_back_as_ok(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    inventory: Cloud,
    verb: Any,
    fault: Any,
) -> None:
    operation = spoilt(start_operation, spoil, targets, verb, fault, "after")
    n = len(targets[verb])
    assert outcome_counts(operation) == {"unknown": n}
    reconcile_now()
    assert outcome_counts(operation) == {"ok": n}
    assert len(write_requests(inventory)) == 1


@pytest.mark.parametrize("verb", ["device.freeze", "policy.bind"])
@pytest.mark.parametrize("fault", [*WIRE, *STATUSES])
def test_an_unapplied_change_has_failed_after_two_read_backs(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    inventory: Cloud,
    verb: str,
    fault: Any,
) -> None:
    operation = spoilt(start_operation, spoil, targets, verb, fault, "before")
    n = len(targets[verb])
    for expected in ("unknown", "unknown", "failed"):
        assert outcome_counts(operation) == {expected: n}
        reconcile_now()
    assert set(target_error_codes(operation).values()) == {"not_applied"}
    assert len(write_requests(inventory)) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("verb", ["device.unfreeze", "policy.unbind"])
def test_unfreeze_and_unbind_are_read_back_too(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    verb: str,
    moment: str,
) -> None:
    operation = spoilt(start_operation, spoil, targets, verb, "drop", moment)
    reconcile_now()
    reconcile_now()
    assert outcome_counts(operation) == {
        "ok" if moment == "after" else "failed": len(targets[verb])
    }


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.verb)
def test_a_lost_answer_of_every_verb_is_read_back(
    start_operation: Callable[..., Operation],
    inventory: Cloud,
    spoil: Callable[..., Any],
    sample: Any,
    moment: str,
) -> None:
    over = spoil(sample.verb, "drop", moment)
    policy = {"policy": sample.policy} if sample.policy else {}
    operation = start_operation(
        sample.verb, known_objects(inventory)[sample.target], **policy
    )
    over(10)
    assert outcome_counts(operation) == {"unknown": 1}
    reconcile_now()
    reconcile_now()
    assert outcome_counts(operation) == {"ok" if moment == "after" else "failed": 1}
    assert len(write_requests(inventory)) == 1


@pytest.mark.parametrize("fault", SHAPES)
def test_an_answer_that_contradicts_itself_is_read_back(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    inventory: Cloud,
    fault: str,
) -> None:
    operation = spoilt(start_operation, spoil, targets, "policy.bind", fault, "after")
    assert outcome_counts(operation)["unknown"] >= 1
    reconcile_now()
    assert outcome_counts(operation) == {"ok": 2}
    assert len(write_requests(inventory)) == 1


def test_a_target_that_is_named_twice_counts_once(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
) -> None:
    operation = spoilt(
        start_operation, spoil, targets, "policy.bind", "dup_target", "after"
    )
    assert outcome_counts(operation) == {"ok": 2}


def test_only_the_doubtful_target_is_unknown(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
) -> None:
    operation = spoilt(
        start_operation, spoil, targets, "policy.bind", "missing_target", "after"
    )
    assert outcome_counts(operation) == {"ok": 1, "unknown": 1}


def test_it_is_not_read_back_before_the_calls_deadline(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    inventory: Cloud,
) -> None:
    operation = spoilt(
        start_operation, spoil, targets, "device.freeze", "drop", "after"
    )
    chunk = operation.chunks.get()
    assert chunk.due_at > chunk.sent_at + timedelta(seconds=10)
    Chunk.objects.update(due_at=timezone.now() + timedelta(seconds=60))
    reconciliation.recover_stalled()
    assert outcome_counts(operation) == {"unknown": 1}


def test_the_second_read_back_comes_after_a_pause(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    settings: Settings,
) -> None:
    settings.READ_BACK_GAP = 60
    operation = spoilt(
        start_operation, spoil, targets, "device.freeze", "drop", "before"
    )
    reconcile_now()
    reconciliation.recover_stalled()
    assert outcome_counts(operation) == {"unknown": 1}
    assert operation.chunks.get().misses == 1


def test_one_read_back_is_not_enough_if_listings_lag(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    inventory: Cloud,
) -> None:
    inventory.switch(stale_list_ms=60_000)
    operation = spoilt(start_operation, spoil, targets, "policy.bind", "drop", "after")
    reconcile_now()
    inventory.switch(stale_list_ms=0)
    reconcile_now()
    assert outcome_counts(operation) == {"ok": 2}


def test_read_back_is_repeated_after_iotda_was_down(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    settings: Settings,
    inventory: Cloud,
) -> None:
    operation = spoilt(
        start_operation, spoil, targets, "device.freeze", "drop", "after"
    )
    make_iotda_unreachable(settings)
    reconcile_now()
    chunk = operation.chunks.get()
    assert outcome_counts(operation) == {"unknown": 1}
    assert timezone.now() < chunk.due_at < timezone.now() + timedelta(seconds=20)


def test_a_later_change_of_the_same_target_hides_the_earlier(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    inventory: Cloud,
) -> None:
    operation = spoilt(
        start_operation, spoil, targets, "device.freeze", "drop", "after"
    )
    assert outcome_counts(
        start_operation("device.unfreeze", *targets["device.freeze"])
    ) == {"ok": 1}
    reconcile_now()
    target = operation.targets.get()
    assert (target.state, target.error_code) == ("unknown", "changed_since")
    assert operation.chunks.get().state == "done"
    assert inventory.status(target.target_id) == "OFFLINE"


def test_a_later_attempt_that_changed_nothing_hides_nothing(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
) -> None:
    operation = spoilt(
        start_operation, spoil, targets, "device.freeze", "drop", "after"
    )
    assert outcome_counts(
        start_operation("device.freeze", *targets["device.freeze"])
    ) == {"already": 1}
    reconcile_now()
    assert outcome_counts(operation) == {"ok": 1}


@pytest.mark.parametrize(
    ("verb", "expected"), [("policy.bind", "failed"), ("policy.unbind", "ok")]
)
def test_a_deleted_policy_is_bound_to_nothing(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    inventory: Cloud,
    verb: str,
    expected: str,
) -> None:
    operation = spoilt(start_operation, spoil, targets, verb, "drop", "before")
    inventory.call("DELETE", f"policies/{operation.policy_id}")
    reconcile_now()
    reconcile_now()
    assert outcome_counts(operation) == {expected: 2}


def test_a_deleted_device_was_not_frozen(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    inventory: Cloud,
) -> None:
    operation = spoilt(
        start_operation, spoil, targets, "device.freeze", "drop", "before"
    )
    inventory.call("DELETE", f"devices/{targets['device.freeze'][0]}")
    reconcile_now()
    reconcile_now()
    assert target_error_codes(operation) == {targets["device.freeze"][0]: "not_applied"}


@pytest.mark.parametrize(
    ("verb", "read"),
    [("device.freeze", "ShowDevice"), ("policy.unbind", "ShowTargetsInDevicePolicy")],
)
def test_a_404_that_is_not_from_iotda_resolves_nothing(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    inventory: Cloud,
    verb: str,
    read: str,
) -> None:
    operation = spoilt(start_operation, spoil, targets, verb, "drop", "after")
    inventory.fault(
        read,
        "status",
        status=404,
        error_code="APIGW.0101",
        error_msg="The API does not exist.",
    )
    reconcile_now()
    reconcile_now()
    assert outcome_counts(operation) == {"unknown": len(targets[verb])}


def test_the_operation_ends_once_all_targets_have_an_outcome(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
) -> None:
    operation = spoilt(
        start_operation, spoil, targets, "device.freeze", "drop", "after"
    )
    assert (operation.state, operation.finished_at) == ("running", None)
    assert not Event.objects.filter(kind="operation.ended").exists()
    reconcile_now()
    reconcile_now()
    operation.refresh_from_db()
    assert operation.finished_at
    assert Event.objects.get(kind="operation.ended").outcome == "1 ok"


def test_the_page_explains_an_unknown_outcome(
    start_operation: Callable[..., Operation],
    spoil: Callable[..., Any],
    targets: dict[str, Any],
    operator: Client,
) -> None:
    spoil("device.freeze", "drop", "after")
    url = f"/devices/{targets['device.freeze'][0]}/freeze/"
    form = {"reason": "why", "key": "a" * 32}
    response = operator.post(url, form, headers=HTMX)
    assert response.status_code == 200
    assert "no clear answer" in response.text
    assert "Do not send it again" in response.text


@pytest.fixture
def unanswered(
    start_operation: Callable[..., Operation], inventory: Cloud
) -> tuple[Any, ...]:
    """Three devices that were frozen without an answer."""
    ids = sorted(inventory.free(3))
    inventory.fault("FreezeDevice", "drop", moment="after")
    operation = start_operation("device.freeze", *ids)
    while outcome_counts(operation) != {"unknown": 3}:
        make_everything_due()
        run_workers()
    inventory.heal()
    return operation, ids


@pytest.mark.parametrize("fault", ["status", "bad_json", "drop"])
def test_an_unreadable_device_does_not_delay_the_others(
    unanswered: tuple[Any, ...], inventory: Cloud, fault: str
) -> None:
    operation, (first, *others) = unanswered
    inventory.fault("ShowDevice", fault, match={"ids": [first]})
    reconcile_now()
    assert target_states(operation) == {first: "unknown", **dict.fromkeys(others, "ok")}


@pytest.mark.parametrize("fault", ["throttle", "drop"])
def test_read_backs_made_before_iotda_went_down_count(
    unanswered: tuple[Any, ...], inventory: Cloud, fault: str
) -> None:
    operation, _ids = unanswered
    inventory.fault("ShowDevice", fault, match={"nth": 2})
    reconcile_now()
    assert outcome_counts(operation)["ok"] >= 1
