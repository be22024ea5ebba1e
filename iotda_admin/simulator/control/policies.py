"""Changes bindings, policies and names, as another console would."""

import time
from dataclasses import dataclass
from typing import Any

from ..api.bindings import TargetType, binding_row
from ..api.policies import policy_details
from ..app import Simulator
from ..schema import NoExtraKeys
from ..server import Request, Response
from ..state.models import Policy, Target
from ..state.store import State
from .routers import control, not_found


@dataclass
class NewName(NoExtraKeys):
    name: str


@dataclass
class PolicyPatch(NoExtraKeys):
    policy_name: str | None = None
    statement: list[dict[str, Any]] | None = None


@dataclass
class NewBinding(NoExtraKeys):
    policy_id: str
    target_id: str
    target_type: TargetType = "device"


def _policy(state: State, policy_id: str) -> Policy:
    return state.policies.get(policy_id) or not_found("policy")


@control.route("GET", "/bindings")
def list_bindings(simulator: Simulator, request: Request) -> Response:
    """List bindings, filtered by target_type, target_id and policy_id."""
    bindings, policy_id = simulator.state.bindings, request.query.get("policy_id")
    found = bindings.of_policy(policy_id).items if policy_id else bindings.all()
    rows = [{"policy_id": one.policy_id, **binding_row(one)} for one in found]
    for name in ("target_type", "target_id"):
        if value := request.query.get(name):
            rows = [row for row in rows if row[name] == value]
    return Response(200, {"bindings": rows})


@control.route("POST", "/bindings")
def add_binding(simulator: Simulator, request: Request) -> Response:
    """Bind a policy to a target without checking the rules."""
    new, state = request.read(NewBinding), simulator.state
    target = Target(new.target_type, new.target_id)
    policy_id = _policy(state, new.policy_id).policy_id
    return Response(
        201, {"changed": state.bindings.add(policy_id, target, time.time())}
    )


@control.route("DELETE", "/bindings")
def remove_binding(simulator: Simulator, request: Request) -> Response:
    query = request.query
    target = Target(query.get("target_type", "device"), query.get("target_id", ""))
    return Response(
        200,
        {
            "changed": simulator.state.bindings.remove(
                query.get("policy_id", ""), target
            )
        },
    )


@control.route("PATCH", "/policies/{policy_id}")
def change_policy(simulator: Simulator, request: Request) -> Response:
    policy = _policy(simulator.state, request.path_params["policy_id"])
    change = request.read(PolicyPatch)
    policy.policy_name = change.policy_name or policy.policy_name
    policy.statement = (
        policy.statement if change.statement is None else change.statement
    )
    return Response(200, policy_details(policy))


@control.route("DELETE", "/policies/{policy_id}")
def delete_policy(simulator: Simulator, request: Request) -> Response:
    simulator.state.remove_policy(
        _policy(simulator.state, request.path_params["policy_id"])
    )
    return Response(204)


@control.route("PATCH", "/products/{product_id}")
def rename_product(simulator: Simulator, request: Request) -> Response:
    product = simulator.state.products.get(
        request.path_params["product_id"]
    ) or not_found("product")
    product.name = request.read(NewName).name
    return Response(200, {"product_id": product.product_id, "name": product.name})


@control.route("PATCH", "/spaces/{app_id}")
def rename_space(simulator: Simulator, request: Request) -> Response:
    space = simulator.state.spaces.get(request.path_params["app_id"]) or not_found(
        "resource space"
    )
    space.app_name = request.read(NewName).name
    return Response(200, {"app_id": space.app_id, "app_name": space.app_name})
