"""The two endpoints of IAM that a client of IoTDA needs. They share IoTDA's port."""

import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from ..schema import length
from ..server import Request, Response
from ..state.store import State
from .auth import authenticate
from .errors import ApiError
from .routers import iam


@dataclass
class Reference:
    id: str | None = None
    name: str | None = None


@dataclass
class User:
    name: str
    password: str
    domain: Reference


@dataclass
class Password:
    user: User


@dataclass
class Identity:
    methods: Annotated[list[Literal["password"]], length(1)]
    password: Password


@dataclass
class Scope:
    project: Reference | None = None


@dataclass
class Auth:
    identity: Identity
    scope: Scope | None = None


@dataclass
class TokenRequest:
    auth: Auth


@iam.route("POST", "/auth/tokens")
def keystone_create_user_token_by_password(state: State, request: Request) -> Response:
    auth = request.read(TokenRequest).auth
    _check_password(state, auth.identity.password.user)
    project_id = _project_id(state, auth.scope)
    token = secrets.token_urlsafe(1500)  # as long as a real one
    expires = request.now + state.settings.token_ttl_s
    state.tokens[token] = (expires, project_id)
    for old in [
        key for key, (end, _) in state.tokens.items() if end < request.now - 3600
    ]:
        del state.tokens[old]
    content = {"token": _token_info(state, request.now, expires)}
    return Response(201, content, {"X-Subject-Token": token})


def _check_password(state: State, user: User) -> None:
    config = state.config
    given = f"{user.domain.name}\n{user.name}\n{user.password}"
    expected = f"{config.domain}\n{config.user}\n{config.password}"
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise ApiError(401, "IAM.0001", "The username or password is wrong.")


def _project_id(state: State, scope: Scope | None) -> str:
    """Return the project of a scope; empty if the token is not for a project."""
    if scope is None or scope.project is None:
        return ""
    project, config = scope.project, state.config
    if project.id in (None, config.project_id) and project.name in (
        None,
        config.region,
    ):
        return config.project_id
    raise ApiError(
        401, "IAM.0001", "The project does not exist or cannot be used by this user."
    )


def _token_info(state: State, now: float, expires: float) -> dict[str, Any]:
    config = state.config
    domain = {"id": "d0" * 16, "name": config.domain}
    return {
        "methods": ["password"],
        "issued_at": _format_time(now),
        "expires_at": _format_time(expires),
        "project": {"id": config.project_id, "name": config.region, "domain": domain},
        "roles": [{"id": "0", "name": "te_admin"}],
        "user": {
            "id": "e0" * 16,
            "name": config.user,
            "domain": domain,
            "password_expires_at": "",  # never
        },
        "catalog": [],
    }


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@iam.route("GET", "/projects")
def keystone_list_projects(state: State, request: Request) -> Response:
    authenticate(state, request, "regional")  # IAM knows the ordinary signature only
    config = state.config
    project = {
        "id": config.project_id,
        "name": config.region,
        "domain_id": "d0" * 16,
        "parent_id": "d0" * 16,
        "is_domain": False,
        "description": "",
        "enabled": True,
        "links": _links(f"/projects/{config.project_id}"),
    }
    projects = [project] if request.query.get("name") in (None, config.region) else []
    return Response(200, {"projects": projects, "links": _links("/projects")})


def _links(path: str) -> dict[str, str | None]:
    return {
        "self": f"https://iam.example{iam.prefix}{path}",
        "next": None,
        "previous": None,
    }


def keystone_error(error: ApiError) -> Response:
    """Return an error in IAM's format."""
    titles = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}
    title = titles.get(error.status, "Forbidden")
    content = {"code": error.status, "message": error.message, "title": title}
    return Response(error.status, {"error": content})
