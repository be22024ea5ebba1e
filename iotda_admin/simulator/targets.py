"""BindDevicePolicy, UnbindDevicePolicy, ShowTargetsInDevicePolicy."""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from .calls import Answer, Call
from .errors import Refusal, invalid
from .paging import Window, page
from .policies import find_policy
from .records import Records
from .things import Binding, Policy, Target
from .world import World

TargetType = Literal["device", "product", "app"]


class Targets(BaseModel):
    model_config = ConfigDict(strict=True)

    target_type: TargetType
    target_ids: list[str]


class TargetsAsked(BaseModel):
    target_type: TargetType | None = None
    limit: Any = None
    marker: Any = None
    offset: Any = None


type Act = Callable[[World, Policy, Target, float], bool]


def bind_device_policy(world: World, call: Call) -> Answer:
    return _each_target(world, call, bind)


def unbind_device_policy(world: World, call: Call) -> Answer:
    return _each_target(world, call, unbind)


def _each_target(world: World, call: Call, act: Act) -> Answer:
    asked, policy = call.read(Targets), find_policy(world, call)
    limit = world.settings.bind_limit
    if not 1 <= len(asked.target_ids) <= limit:
        raise invalid(
            f"target_ids must have from 1 to {limit} items."
        )  # assumed for an empty list
    done: list[str] = []
    refused: list[dict[str, str]] = []
    for target_id in dict.fromkeys(
        asked.target_ids
    ):  # assumed: an id given twice counts once
        try:
            if act(world, policy, Target(asked.target_type, target_id), call.now):
                call.entry.applied.append(target_id)
            done.append(target_id)
        except Refusal as no:
            refused.append(
                {"target_id": target_id, "error_code": no.code, "error_msg": no.message}
            )
    answer = {"policy_id": policy.policy_id, "target_type": asked.target_type}
    return Answer(200, answer | {"success_targets": done, "failure_targets": refused})


def bind(world: World, policy: Policy, target: Target, now: float) -> bool:
    """False if nothing changed."""
    settings = world.settings
    _check_space(world, policy, target)
    bound = world.bindings.on(target)
    if policy.policy_id in bound:
        if settings.already_bound == "success":
            return False
        raise Refusal(
            403,
            settings.already_bound_code,
            "The policy is already bound to the target.",
        )
    if len(bound) >= settings.policies_per_target:
        upper = settings.policies_per_target
        message = (
            f"The target cannot have more policies, the limit of {upper} is reached."
        )
        raise Refusal(403, "IOTDA.015204", f"Operation not allowed. {message}")
    return world.bindings.add(policy.policy_id, target, now)


def unbind(world: World, policy: Policy, target: Target, now: float) -> bool:
    settings = world.settings
    _check_space(world, policy, target)
    if world.bindings.remove(policy.policy_id, target):
        return True
    if settings.not_bound == "success":
        return False
    raise Refusal(
        403, settings.not_bound_code, "The policy is not bound to the target."
    )


def _check_space(world: World, policy: Policy, target: Target) -> None:
    space = world.space_of(target)
    if space is None:
        raise Refusal(
            404,
            world.settings.unknown_target_code,
            f"The {target.type} does not exist.",
        )
    if world.settings.cross_space == "failure" and space is not policy.space:
        raise Refusal(
            403,
            world.settings.cross_space_code,
            "The target is in another resource space.",
        )


def show_targets_in_device_policy(world: World, call: Call) -> Answer:
    asked = call.read(TargetsAsked) if call.body else TargetsAsked()
    policy = find_policy(world, call)
    records = world.bindings.of(policy.policy_id, asked.target_type)
    if world.settings.stale_list_ms:
        since = call.now - world.settings.stale_list_ms / 1000
        records = Records([binding for binding in records.items if binding.at <= since])
    window = Window.read(asked.model_dump(exclude_none=True))
    return Answer(200, page("targets", records, window, Binding.row, world.settings))
