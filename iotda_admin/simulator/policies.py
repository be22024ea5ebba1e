"""Create, list, show, update and delete device policies."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from .calls import Answer, Call
from .errors import Refusal, invalid
from .filters import text
from .paging import Window, page
from .records import Records
from .things import Policy
from .world import World

STATEMENT_BYTES = 10 * 1024

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
Action = Literal["iotda:devices:publish", "iotda:devices:subscribe"]
Resource = Annotated[
    str, StringConstraints(pattern=r"^topic:[A-Za-z0-9/{}$=+#?*:._-]+$")
]


class Statement(BaseModel):
    effect: Literal["ALLOW", "DENY"]
    actions: Annotated[list[Action], Field(min_length=1)]
    resources: Annotated[list[Resource], Field(min_length=1, max_length=10)]


Statements = Annotated[list[Statement], Field(min_length=1, max_length=10)]


class NewPolicy(BaseModel):
    policy_name: Name
    statement: Statements
    app_id: str | None = None


class PolicyChange(BaseModel):
    policy_name: Name | None = None
    statement: Statements | None = None


def find_policy(world: World, call: Call) -> Policy:
    try:
        return world.policies[call.path["policy_id"]]
    except KeyError:
        raise Refusal(
            404, world.settings.unknown_policy_code, "The device policy does not exist."
        ) from None


def create_device_policy(world: World, call: Call) -> Answer:
    new = call.read(NewPolicy)
    space = world.space(new.app_id) if new.app_id else world.default_space()
    if len(world.policies) >= world.settings.policies:
        limit = world.settings.policies
        raise Refusal(
            403,
            world.settings.policy_quota_code,
            f"The number of device policies has reached {limit}.",
        )
    _refuse_taken_name(world, new.policy_name, space.app_id)
    record = world.record_ids(call.now)
    policy_id = hashlib.sha256(f"policy/{record}".encode()).hexdigest()[:24]
    policy = Policy(
        record,
        policy_id,
        new.policy_name,
        space,
        _plain(new.statement),
        call.now,
        call.now,
    )
    world.add_policy(policy)
    call.entry.policy_id = policy_id
    call.entry.applied.append(policy_id)
    return Answer(world.settings.create_policy_status, policy.whole())


def _refuse_taken_name(world: World, name: str, app_id: str) -> None:
    # assumed: a name is taken once a resource space, as each space has its system_default_policy
    if any(
        p.policy_name == name and p.space.app_id == app_id
        for p in world.policies.values()
    ):
        raise Refusal(
            400,
            world.settings.policy_name_taken_code,
            "The device policy name already exists.",
        )


def _plain(statements: list[Statement]) -> list[dict[str, Any]]:
    plain = [statement.model_dump() for statement in statements]
    if len(json.dumps(plain)) > STATEMENT_BYTES:
        raise invalid("statement must not be larger than 10 KB.")
    return plain


def list_device_policies(world: World, call: Call) -> Answer:
    app_id, name = text(call.query, "app_id", 36), text(call.query, "policy_name", 128)
    if app_id:
        world.space(app_id)
    records = Records(
        [
            policy
            for policy in world.policy_records.items
            if app_id in (None, policy.space.app_id)
            and name in (None, policy.policy_name)
        ]
    )
    return Answer(
        200,
        page("policies", records, Window.read(call.query), Policy.row, world.settings),
    )


def show_device_policy(world: World, call: Call) -> Answer:
    return Answer(200, find_policy(world, call).whole())


def update_device_policy(world: World, call: Call) -> Answer:
    policy, change = find_policy(world, call), call.read(PolicyChange)
    statement = _plain(change.statement) if change.statement else policy.statement
    if change.policy_name and change.policy_name != policy.policy_name:
        _refuse_taken_name(world, change.policy_name, policy.space.app_id)
        policy.policy_name = change.policy_name
    policy.statement, policy.updated = statement, call.now
    call.entry.applied.append(policy.policy_id)
    return Answer(200, policy.whole())


def delete_device_policy(world: World, call: Call) -> Answer:
    policy = find_policy(world, call)
    world.remove_policy(policy)
    call.entry.applied.append(policy.policy_id)
    status = world.settings.delete_policy_status
    return Answer(status) if status == 204 else Answer(status, {})
