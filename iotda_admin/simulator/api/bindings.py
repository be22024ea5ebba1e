"""The endpoints that bind a policy to targets, unbind it, and list its targets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ..server import Request, Response
from ..state.models import Binding, Policy, Target
from ..state.records import RecordList
from ..state.store import State
from .errors import ApiError, invalid_input
from .paging import Window, page
from .policies import find_policy
from .routers import iotda

TargetType = Literal["device", "product", "app"]


@dataclass
class TargetList:
    target_type: TargetType
    target_ids: list[str]


@dataclass
class TargetFilter:
    target_type: TargetType | None = None


type Change = Callable[[State, Policy, Target, float], bool]


def binding_row(binding: Binding) -> dict[str, Any]:
    return {"target_type": binding.target.type, "target_id": binding.target.id}


@iotda.route("POST", "/device-policies/{policy_id}/bind")
def bind_device_policy(state: State, request: Request) -> Response:
    return _change_each_target(state, request, _bind)


@iotda.route("POST", "/device-policies/{policy_id}/unbind")
def unbind_device_policy(state: State, request: Request) -> Response:
    return _change_each_target(state, request, _unbind)


def _change_each_target(state: State, request: Request, change: Change) -> Response:
    targets, policy = request.read(TargetList), find_policy(state, request)
    limit = state.settings.bind_limit
    if not 1 <= len(targets.target_ids) <= limit:
        raise invalid_input(
            f"target_ids must have from 1 to {limit} items."
        )  # assumed for an empty list
    succeeded: list[str] = []
    failed: list[dict[str, str]] = []
    for target_id in dict.fromkeys(
        targets.target_ids
    ):  # assumed: a repeated ID counts once
        try:
            if change(
                state, policy, Target(targets.target_type, target_id), request.now
            ):
                request.entry.applied.append(target_id)
            succeeded.append(target_id)
        except ApiError as error:
            failed.append(
                {
                    "target_id": target_id,
                    "error_code": error.code,
                    "error_msg": error.message,
                }
            )
    about = {"policy_id": policy.policy_id, "target_type": targets.target_type}
    return Response(
        200, about | {"success_targets": succeeded, "failure_targets": failed}
    )


def _bind(state: State, policy: Policy, target: Target, now: float) -> bool:
    """Bind a policy to a target. False if nothing changed."""
    settings = state.settings
    _require_target(state, policy, target)
    bindings = state.bindings.of_target(target)
    if policy.policy_id in bindings:
        if settings.already_bound == "success":
            return False
        raise ApiError(
            403,
            settings.already_bound_code,
            "The policy is already bound to the target.",
        )
    limit = settings.policies_per_target
    if len(bindings) >= limit:
        message = (
            "Operation not allowed. The number of policies bound to the target "
            f"reaches the upper limit ({limit})."
        )
        raise ApiError(403, "IOTDA.015204", message)
    return state.bindings.add(policy.policy_id, target, now)


def _unbind(state: State, policy: Policy, target: Target, now: float) -> bool:
    """Unbind a policy from a target. False if nothing changed."""
    settings = state.settings
    _require_target(state, policy, target)
    if state.bindings.remove(policy.policy_id, target):
        return True
    if settings.not_bound == "success":
        return False
    raise ApiError(
        403, settings.not_bound_code, "The policy is not bound to the target."
    )


def _require_target(state: State, policy: Policy, target: Target) -> None:
    space = state.space_of(target)
    if space is None:
        raise ApiError(
            404,
            state.settings.unknown_target_code,
            f"The {target.type} does not exist.",
        )
    if state.settings.cross_space == "failure" and space is not policy.space:
        raise ApiError(
            403,
            state.settings.cross_space_code,
            "The target is in another resource space.",
        )


@iotda.route("POST", "/device-policies/{policy_id}/list-targets")
def show_targets_in_device_policy(state: State, request: Request) -> Response:
    filters = request.read(TargetFilter)
    bindings = state.bindings.of_policy(
        find_policy(state, request).policy_id, filters.target_type
    )
    if state.settings.stale_list_ms:
        since = request.now - state.settings.stale_list_ms / 1000
        bindings = RecordList(
            [binding for binding in bindings.items if binding.created <= since]
        )
    window = Window.read(request.document)
    return Response(200, page("targets", bindings, window, binding_row, state.settings))
