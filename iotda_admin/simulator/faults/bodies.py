"""Responses to bind and unbind that are valid JSON and contradict the request.

The request itself is applied; only its response is wrong.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..server import Response
from .kinds import Injection, wraps_request

type Document = dict[str, Any]

ERROR = {"error_code": "IOTDA.015204", "error_msg": "Injected by the simulator."}


def changes_body(change: Callable[[Document], None]) -> Callable[[Document], None]:
    """Register a fault that changes the body of a response to bind or unbind."""

    @wraps_request
    @wraps(change)
    async def act(injection: Injection) -> Response:
        response = injection.apply()
        if isinstance(response.content, dict) and "success_targets" in response.content:
            change(response.content)
        return response

    return change


@changes_body
def missing_target(body: Document) -> None:
    (body["success_targets"] or body["failure_targets"])[:1] = []


@changes_body
def extra_target(body: Document) -> None:
    body["success_targets"].append("not-in-the-request")


@changes_body
def dup_target(body: Document) -> None:
    body["success_targets"].extend(body["success_targets"][:1])


@changes_body
def both_lists(body: Document) -> None:
    body["failure_targets"].extend(
        {"target_id": one} | ERROR for one in body["success_targets"][:1]
    )


@changes_body
def wrong_policy_id(body: Document) -> None:
    body["policy_id"] = "0" * 24


@changes_body
def bad_types(body: Document) -> None:
    body["success_targets"] = {"ids": body["success_targets"]}
    body["failure_targets"] = "none"
