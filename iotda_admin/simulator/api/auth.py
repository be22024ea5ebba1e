"""Authenticates a request by a token of our IAM or by a signature."""

import re

from ..server import Request
from ..state.store import State
from .errors import ApiError, invalid_input
from .signatures import DERIVED, BadSignature, Signature, verify


def check_access(state: State, request: Request) -> None:
    """Raise ApiError unless the simulated kind of host accepts the request."""
    host_kind = state.settings.host_kind
    authenticate(state, request, host_kind)
    if host_kind == "regional_unsubscribed":
        raise _unknown_user()
    _check_project(state, request)
    expected, given = state.settings.instance_id, request.headers.get("instance-id")
    if expected and given and given != expected:
        raise _unknown_user()  # assumed


def authenticate(state: State, request: Request, host_kind: str) -> None:
    if token := request.headers.get("x-auth-token"):
        _check_token(state, request, token, host_kind)
    else:
        _check_signature(state, request, host_kind)


def _unknown_user() -> ApiError:
    message = "The user does not exist or has not subscribed to IoTDA here."
    return ApiError(403, "IOTDA.000021", message)


def _unauthorized(host_kind: str, reason: str, algorithm: str = "") -> ApiError:
    """Return the 401 of the regional gateway or that of the instance."""
    if host_kind == "instance" or (host_kind == "any" and algorithm == DERIVED):
        return ApiError(401, "IOTDA.000002", "The request is unauthorized.")
    return ApiError(
        401, "APIGW.0301", f"Incorrect IAM authentication information: {reason}"
    )


def _check_token(state: State, request: Request, token: str, host_kind: str) -> None:
    expires, project = state.tokens.get(token, (0.0, ""))
    if expires <= request.now:
        reason = "The token must be updated" if expires else "the token is not known"
        raise _unauthorized(host_kind, reason)
    if project != request.path_params.get("project_id", project):
        raise ApiError(403, "IOTDA.000004", "Invalid access token.")


def _check_signature(state: State, request: Request, host_kind: str) -> None:
    config, header = state.config, request.headers.get("authorization", "")
    if not header:
        raise _unauthorized(host_kind, "neither a token nor a signature was sent")
    algorithm = DERIVED if header.startswith(DERIVED) else ""
    try:
        signature = Signature.read(header)
        # Each kind of host accepts one algorithm; for regional hosts this is assumed.
        if host_kind != "any" and (algorithm == DERIVED) != (host_kind == "instance"):
            raise BadSignature(f"{signature.algorithm} is not accepted here")
        verify(signature, request, config.ak, config.sk, config.region)
    except BadSignature as exc:
        raise _unauthorized(host_kind, str(exc), algorithm) from None


def _check_project(state: State, request: Request) -> None:
    project_id = request.path_params.get("project_id", state.config.project_id)
    if not re.fullmatch(r"[0-9a-fA-F]{32}", project_id):
        raise invalid_input("project_id must be 32 digits or letters from a to f.")
    if project_id != state.config.project_id:
        raise _unknown_user()
