"""The endpoints of device policies."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from ..schema import length, pattern
from ..server import Request, Response
from ..state.clock import format_basic
from ..state.models import Policy
from ..state.records import RecordList
from ..state.store import State
from .applications import find_space, read_app_id
from .errors import ApiError, invalid_input
from .filters import read_text
from .paging import Window, page
from .routers import iotda

STATEMENT_BYTES = 10 * 1024

Name = Annotated[str, pattern(r"[A-Za-z0-9_-]{1,128}")]
Action = Literal["iotda:devices:publish", "iotda:devices:subscribe"]
Resource = Annotated[str, pattern(r"topic:[A-Za-z0-9/{}$=+#?*:._-]+")]


@dataclass
class Statement:
    effect: Literal["ALLOW", "DENY"]
    actions: Annotated[list[Action], length(1)]
    resources: Annotated[list[Resource], length(1, 10)]


Statements = Annotated[list[Statement], length(1, 10)]


@dataclass
class NewPolicy:
    policy_name: Name
    statement: Statements
    app_id: str | None = None


@dataclass
class PolicyChange:
    policy_name: Name | None = None
    statement: Statements | None = None


def policy_row(policy: Policy) -> dict[str, Any]:
    return {
        "app_id": policy.space.app_id,
        "policy_id": policy.policy_id,
        "policy_name": policy.policy_name,
        "create_time": format_basic(policy.created),
        "update_time": format_basic(policy.updated),
    }


def policy_details(policy: Policy) -> dict[str, Any]:
    return policy_row(policy) | {"statement": policy.statement}


def find_policy(state: State, request: Request) -> Policy:
    try:
        return state.policies[request.path_params["policy_id"]]
    except KeyError:
        code = state.settings.unknown_policy_code
        raise ApiError(404, code, "The device policy does not exist.") from None


@iotda.route("POST", "/device-policies")
def create_device_policy(state: State, request: Request) -> Response:
    new = request.read(NewPolicy)
    space = find_space(state, new.app_id) if new.app_id else state.default_space()
    limit = state.settings.policies
    if len(state.policies) >= limit:
        message = f"The number of device policies has reached {limit}."
        raise ApiError(403, state.settings.policy_quota_code, message)
    _require_free_name(state, new.policy_name, space.app_id)
    record_id = state.record_ids.next(request.now)
    policy_id = hashlib.sha256(f"policy/{record_id}".encode()).hexdigest()[:24]
    statement, now = _statement(new.statement), request.now
    policy = Policy(
        record_id,
        policy_id,
        new.policy_name,
        space,
        statement,
        created=now,
        updated=now,
    )
    state.add_policy(policy)
    request.entry.policy_id = policy_id
    request.entry.applied.append(policy_id)
    return Response(201, policy_details(policy))


def _require_free_name(state: State, name: str, app_id: str) -> None:
    # assumed: unique in its resource space, as each has a system_default_policy
    if any(
        p.policy_name == name and p.space.app_id == app_id
        for p in state.policies.values()
    ):
        code = state.settings.policy_name_taken_code
        raise ApiError(400, code, "The device policy name already exists.")


def _statement(statements: list[Statement]) -> list[dict[str, Any]]:
    documents = [asdict(statement) for statement in statements]
    if len(json.dumps(documents)) > STATEMENT_BYTES:
        raise invalid_input("statement must not be larger than 10 KB.")
    return documents


@iotda.route("GET", "/device-policies")
def list_device_policies(state: State, request: Request) -> Response:
    app_id, name = (
        read_app_id(state, request),
        read_text(request.query, "policy_name", 128),
    )
    policies = [
        policy
        for policy in state.policy_list.items
        if app_id in (None, policy.space.app_id) and name in (None, policy.policy_name)
    ]
    window = Window.read(request.query)
    return Response(
        200, page("policies", RecordList(policies), window, policy_row, state.settings)
    )


@iotda.route("GET", "/device-policies/{policy_id}")
def show_device_policy(state: State, request: Request) -> Response:
    return Response(200, policy_details(find_policy(state, request)))


@iotda.route("PUT", "/device-policies/{policy_id}")
def update_device_policy(state: State, request: Request) -> Response:
    policy, change = find_policy(state, request), request.read(PolicyChange)
    statement = _statement(change.statement) if change.statement else policy.statement
    if change.policy_name and change.policy_name != policy.policy_name:
        _require_free_name(state, change.policy_name, policy.space.app_id)
        policy.policy_name = change.policy_name
    policy.statement, policy.updated = statement, request.now
    request.entry.applied.append(policy.policy_id)
    return Response(200, policy_details(policy))


@iotda.route("DELETE", "/device-policies/{policy_id}")
def delete_device_policy(state: State, request: Request) -> Response:
    policy = find_policy(state, request)
    state.remove_policy(policy)
    request.entry.applied.append(policy.policy_id)
    return Response(204)
