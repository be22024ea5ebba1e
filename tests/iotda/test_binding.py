"""What the result of a bind proves about each id."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotda_admin.iotda import (
    BadResponse,
    BindOutcome,
    BindResult,
    BindState,
    TargetFailure,
)
from tests.iotda.wire import Wire

from . import wire as w

POLICY = "66b0c0ffee00112233445566"
FULL = TargetFailure("b", "IOTDA.015204", "five already")


def answer(succeeded: Any = (), failed: Any = ()) -> BindResult:
    return BindResult(POLICY, "device", tuple(succeeded), tuple(failed))


def states(found: Any) -> dict[Any, Any]:
    return {target: outcome.state.value for target, outcome in found.by_id.items()}


def test_a_sound_result_decides_every_id() -> None:
    found = answer(["a"], [FULL]).outcomes(["b", "a"])
    assert list(found.by_id) == ["b", "a"]
    assert found.by_id["a"] == BindOutcome(BindState.OK)
    assert found.by_id["b"] == BindOutcome(
        BindState.FAILED, "IOTDA.015204", "five already"
    )
    assert found.anomalies == ()


def test_an_id_in_neither_list_is_unknown() -> None:
    found = answer(["a"]).outcomes(["a", "b"])
    assert states(found) == {"a": "ok", "b": "unknown"}
    assert found.anomalies == ("not named: b",)


def test_an_id_in_both_lists_is_unknown() -> None:
    found = answer(["b"], [FULL]).outcomes(["b"])
    assert states(found) == {"b": "unknown"}
    assert found.anomalies == ("both bound and refused: b",)


def test_an_id_named_twice_counts_once() -> None:
    found = answer(["a", "a"]).outcomes(["a"])
    assert states(found) == {"a": "ok"}
    assert found.anomalies == ("named more than once: a",)


ids = st.lists(st.sampled_from("abcdefgh"), max_size=6)


@given(
    sent=ids.map(lambda names: list(dict.fromkeys(names))), succeeded=ids, failed=ids
)
def test_ok_means_only_in_success_targets(
    sent: Any, succeeded: Any, failed: Any
) -> None:
    found = answer(succeeded, [TargetFailure(f, "c", "m") for f in failed]).outcomes(
        sent
    )
    assert list(found.by_id) == sent
    for target, outcome in states(found).items():
        assert (outcome == "ok") == (target in succeeded and target not in failed)
        assert (outcome == "failed") == (target in failed and target not in succeeded)
    named = [each for each in succeeded + failed if each in sent]
    assert (sorted(named) == sorted(sent)) == (not found.anomalies)


GOOD = {
    "policy_id": POLICY,
    "target_type": "device",
    "success_targets": ["a"],
    "failure_targets": [],
}


def bind(wire: Wire, client: Any, document: Any) -> Any:
    wire.answer = w.reply(document)
    return client.bind_device_policy(POLICY, "device", ["a", "b"])


@pytest.mark.parametrize(
    "change",
    [
        {"policy_id": "66b0c0ffee00112233445567"},
        {"policy_id": None},
        {"target_type": "product"},
        {"success_targets": ["a", "c"]},
        {"failure_targets": [{"target_id": "c", "error_code": "IOTDA.015204"}]},
        {"success_targets": None},
        {"success_targets": "a"},
        {"success_targets": {"a": 1}},
        {"success_targets": [1]},
        {"success_targets": [None]},
        {"failure_targets": None},
        {"failure_targets": ["b"]},
        {"failure_targets": [{"target_id": "b"}]},
        {"failure_targets": [{"target_id": 7, "error_code": "x"}]},
        {"failure_targets": [{"target_id": "b", "error_code": 15204}]},
    ],
)
def test_a_malformed_result_may_have_been_applied(
    wire: Wire, client: Any, change: dict[str, Any]
) -> None:
    with pytest.raises(BadResponse) as caught:
        bind(wire, client, GOOD | change)
    assert caught.value.maybe_applied


@pytest.mark.parametrize("key", GOOD)
def test_a_missing_list_or_policy_raises(wire: Wire, client: Any, key: str) -> None:
    document = {name: value for name, value in GOOD.items() if name != key}
    if key == "target_type":
        assert bind(wire, client, document).success_targets == ("a",)
        return
    with pytest.raises(BadResponse):
        bind(wire, client, document)


def test_a_result_has_the_status_and_the_request_id(wire: Wire, client: Any) -> None:
    got = bind(wire, client, GOOD | {"new_key": 1})
    assert (got.status, got.request_id, got.success_targets) == (200, "req-1", ("a",))


@pytest.mark.parametrize("count", [0, 21])
def test_a_bind_takes_one_to_twenty_ids(wire: Wire, client: Any, count: int) -> None:
    with pytest.raises(ValueError, match="1 to 20"):
        client.bind_device_policy(POLICY, "device", [f"d{n}" for n in range(count)])
    assert not wire.requests


@pytest.mark.parametrize(
    ("kind", "ids", "error"),
    [
        ("device", ["a", "a"], ValueError),
        ("device", "abc", TypeError),
        ("gateway", ["a"], ValueError),
    ],
)
def test_a_wrong_argument_raises_before_any_io(
    wire: Wire, client: Any, kind: str, ids: Any, error: Any
) -> None:
    with pytest.raises(error):
        client.bind_device_policy(POLICY, kind, ids)
    assert not wire.connections
