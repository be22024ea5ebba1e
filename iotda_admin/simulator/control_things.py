"""Bindings, policies and names behind the product's back: what another console would do."""

import time
from collections.abc import Iterable
from typing import Any, Literal

from fastapi import APIRouter

from .control_devices import Strict, missing
from .simulator import Simulator
from .things import Binding, Policy, Target
from .world import World


class Name(Strict):
    name: str


class PolicyChange(Strict):
    policy_name: str | None = None
    statement: list[dict[str, Any]] | None = None


class Bound(Strict):
    policy_id: str
    target_type: Literal["device", "product", "app"] = "device"
    target_id: str


def thing_routes(simulator: Simulator) -> APIRouter:
    router = APIRouter(prefix="/_sim")

    @router.get("/bindings")
    async def bindings(
        target_type: str | None = None,
        target_id: str | None = None,
        policy_id: str | None = None,
    ) -> dict[str, list[dict[str, Any]]]:
        wanted = {
            "target_type": target_type,
            "target_id": target_id,
            "policy_id": policy_id,
        }
        rows = (
            {"policy_id": one.policy_id, **one.row()}
            for one in _bindings(simulator.world, policy_id)
        )
        return {
            "bindings": [
                r
                for r in rows
                if all(v in (None, "", r[name]) for name, v in wanted.items())
            ]
        }

    @router.post("/bindings", status_code=201)
    async def bind(bound: Bound) -> dict[str, bool]:
        """No rule is checked: even more policies than a target may have."""
        target = Target(bound.target_type, bound.target_id)
        policy = _policy(simulator.world, bound.policy_id)
        return {
            "changed": simulator.world.bindings.add(
                policy.policy_id, target, time.time()
            )
        }

    @router.delete("/bindings")
    async def unbind(
        policy_id: str, target_id: str, target_type: str = "device"
    ) -> dict[str, bool]:
        return {
            "changed": simulator.world.bindings.remove(
                policy_id, Target(target_type, target_id)
            )
        }

    @router.patch("/policies/{policy_id}")
    async def change_policy(policy_id: str, change: PolicyChange) -> dict[str, Any]:
        policy = _policy(simulator.world, policy_id)
        policy.policy_name = change.policy_name or policy.policy_name
        policy.statement = (
            policy.statement if change.statement is None else change.statement
        )
        return policy.whole()

    @router.delete("/policies/{policy_id}", status_code=204)
    async def delete_policy(policy_id: str) -> None:
        simulator.world.remove_policy(_policy(simulator.world, policy_id))

    @router.patch("/products/{product_id}")
    async def rename_product(product_id: str, given: Name) -> dict[str, str]:
        product = simulator.world.products.get(product_id) or missing("product")
        product.name = given.name
        return {"product_id": product_id, "name": product.name}

    @router.patch("/spaces/{app_id}")
    async def rename_space(app_id: str, given: Name) -> dict[str, str]:
        space = simulator.world.spaces.get(app_id) or missing("resource space")
        space.app_name = given.name
        return {"app_id": app_id, "app_name": space.app_name}

    return router


def _policy(world: World, policy_id: str) -> Policy:
    return world.policies.get(policy_id) or missing("policy")


def _bindings(world: World, policy_id: str | None) -> Iterable[Binding]:
    return world.bindings.of(policy_id).items if policy_id else world.bindings.every()
