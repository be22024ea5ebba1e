"""The two IAM calls a client of IoTDA needs, on the same port."""

import hmac
import secrets
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from .auth import identify
from .calls import Answer, Call
from .errors import Refusal
from .world import World


class Named(BaseModel):
    id: str | None = None
    name: str | None = None


class User(BaseModel):
    name: str
    password: str
    domain: Named


class Password(BaseModel):
    user: User


class Identity(BaseModel):
    methods: list[Literal["password"]] = Field(min_length=1)
    password: Password


class Scope(BaseModel):
    project: Named | None = None
    domain: Named | None = None


class Auth(BaseModel):
    identity: Identity
    scope: Scope | None = None


class TokenRequest(BaseModel):
    auth: Auth


def keystone(refusal: Refusal) -> Answer:
    """IAM words its errors in its own shape."""
    title = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}.get(
        refusal.status, "Forbidden"
    )
    return Answer(
        refusal.status,
        {"error": {"code": refusal.status, "message": refusal.message, "title": title}},
    )


def create_token(world: World, call: Call) -> Answer:
    try:
        asked = call.read(TokenRequest).auth
        _check_password(world, asked.identity.password.user)
        project_id = _project(world, asked.scope)
    except Refusal as no:
        return keystone(no)
    token = secrets.token_urlsafe(1500)  # a real one is as long
    until = call.now + world.settings.token_ttl_s
    world.tokens[token] = (until, project_id)
    for old in [key for key, (end, _) in world.tokens.items() if end < call.now - 3600]:
        del world.tokens[old]
    return Answer(
        201, {"token": _described(world, call.now, until)}, [("X-Subject-Token", token)]
    )


def _check_password(world: World, user: User) -> None:
    config = world.config
    given = f"{user.domain.name}\n{user.name}\n{user.password}"
    if not hmac.compare_digest(
        given.encode(), f"{config.domain}\n{config.user}\n{config.password}".encode()
    ):
        raise Refusal(401, "IAM.0001", "The username or password is wrong.")


def _project(world: World, scope: Scope | None) -> str:
    """Empty for a token that is not scoped to a project: it opens no IoTDA call."""
    if scope is None or scope.project is None:
        return ""
    wanted = scope.project
    if wanted.id in (None, world.config.project_id) and wanted.name in (
        None,
        world.config.region,
    ):
        return world.config.project_id
    raise Refusal(
        401, "IAM.0001", "The project does not exist or cannot be used by this user."
    )


def _described(world: World, now: float, until: float) -> dict[str, Any]:
    config = world.config
    domain = {"id": "d0" * 16, "name": config.domain}
    return {
        "methods": ["password"],
        "issued_at": _time(now),
        "expires_at": _time(until),
        "project": {"id": config.project_id, "name": config.region, "domain": domain},
        "roles": [{"id": "0", "name": "te_admin"}],
        "user": {"id": "e0" * 16, "name": config.user, "domain": domain},
        "catalog": [],
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def list_projects(world: World, call: Call) -> Answer:
    try:
        identify(world, call, "regional")  # IAM knows the ordinary signature only
    except Refusal as no:
        return keystone(no)
    config = world.config
    project = {
        "id": config.project_id,
        "name": config.region,
        "domain_id": "d0" * 16,
        "enabled": True,
    }
    found = [project] if call.query.get("name") in (None, config.region) else []
    return Answer(200, {"projects": found, "links": {}})
