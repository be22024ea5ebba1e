"""Who calls: a token that our IAM gave out, or a signature."""

import re

from .calls import Call
from .errors import Refusal, invalid
from .signatures import DERIVED, BadSignature, Signature, verify
from .world import World


def check_caller(world: World, call: Call) -> None:
    """Raises unless the call may be made, in the words of the kind of host we play."""
    kind = world.settings.host_kind
    identify(world, call, kind)
    if kind == "regional_unsubscribed":
        raise _no_user()
    _check_project(world, call)
    wanted, given = world.settings.instance_id, call.headers.get("instance-id")
    if wanted and given and given != wanted:
        raise _no_user()  # assumed


def identify(world: World, call: Call, kind: str) -> None:
    if token := call.headers.get("x-auth-token"):
        _check_token(world, call, token, kind)
    else:
        _check_signature(world, call, kind)


def _no_user() -> Refusal:
    return Refusal(
        403,
        "IOTDA.000021",
        "The user does not exist or has not subscribed to IoTDA here.",
    )


def _unknown_caller(kind: str, why: str, algorithm: str = "") -> Refusal:
    """There are two kinds of 401: the regional gateway's, and the instance's own."""
    if kind == "instance" or (kind == "any" and algorithm == DERIVED):
        return Refusal(401, "IOTDA.000002", "Authentication failed.")
    return Refusal(
        401, "APIGW.0301", f"Incorrect IAM authentication information: {why}"
    )


def _check_token(world: World, call: Call, token: str, kind: str) -> None:
    until, project = world.tokens.get(token, (0.0, ""))
    if until <= call.now:
        raise _unknown_caller(
            kind, "The token must be updated" if until else "the token is not known"
        )
    if project != call.path.get("project_id", project):
        raise Refusal(403, "IOTDA.000004", "Invalid access token.")


def _check_signature(world: World, call: Call, kind: str) -> None:
    config, header = world.config, call.headers.get("authorization", "")
    if not header:
        raise _unknown_caller(kind, "neither a token nor a signature was sent")
    algorithm = DERIVED if header.startswith(DERIVED) else ""
    try:
        signature = Signature.read(header)
        # Each kind of host knows only its own algorithm; regional hosts refusing the derived one is assumed.
        if kind != "any" and (algorithm == DERIVED) != (kind == "instance"):
            raise BadSignature(f"{signature.algorithm} is not accepted here")
        verify(signature, call, config.ak, config.sk, config.region)
    except BadSignature as exc:
        raise _unknown_caller(kind, str(exc), algorithm) from None


def _check_project(world: World, call: Call) -> None:
    project_id = call.path.get("project_id", world.config.project_id)
    if not re.fullmatch(r"[0-9a-f]{32}", project_id):
        raise invalid("project_id must be 32 digits or letters a-f.")
    if project_id != world.config.project_id:
        raise _no_user()
