"""Answers to bind and unbind that are valid JSON and say something impossible.

The call itself is carried out: it is the answer that cannot be trusted.
"""

from collections.abc import Callable
from typing import Any

from .calls import Answer
from .faults import Kind, Shot

type Document = dict[str, Any]

REFUSAL = {"error_code": "IOTDA.015204", "error_msg": "Injected by the simulator."}


def missing_target(body: Document) -> None:
    (body["success_targets"] or body["failure_targets"])[:1] = []


def extra_target(body: Document) -> None:
    body["success_targets"].append("nobody_asked-for-this")


def dup_target(body: Document) -> None:
    body["success_targets"].extend(body["success_targets"][:1])


def both_lists(body: Document) -> None:
    body["failure_targets"].extend(
        {"target_id": one} | REFUSAL for one in body["success_targets"][:1]
    )


def wrong_policy_id(body: Document) -> None:
    body["policy_id"] = "0" * 24


def bad_types(body: Document) -> None:
    body["success_targets"] = {"ids": body["success_targets"]}
    body["failure_targets"] = "none"


def _kind(change: Callable[[Document], None]) -> Kind:
    async def spoil(shot: Shot) -> Answer:
        if (
            isinstance(shot.answer.content, dict)
            and "success_targets" in shot.answer.content
        ):
            change(shot.answer.content)
        return shot.answer

    return Kind(spoil, applies=True)


SHAPES: dict[str, Kind] = {
    change.__name__: _kind(change)
    for change in (
        missing_target,
        extra_target,
        dup_target,
        both_lists,
        wrong_policy_id,
        bad_types,
    )
}
