"""Receives each API request: journals it, lets a fault act on it, and answers it."""

import asyncio
import math
import secrets
import time
from email.utils import formatdate
from typing import Any

from ..app import Simulator
from ..faults.kinds import Injection
from ..routing import Route, load_routes
from ..schema import NotJson, SchemaError
from ..server import BODY_MAX, Request, Response
from ..state.store import State
from .auth import check_access
from .errors import (
    ApiError,
    body_too_large,
    invalid_input,
    throttled,
    unknown_endpoint,
    unreadable_body,
)
from .iam import keystone_error
from .routers import iam, iotda
from .task_runs import advance_tasks

load_routes(__name__.rpartition(".")[0])


class Api:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    async def __call__(self, request: Request) -> None:
        state = self.simulator.state
        route = self._record(request)
        fault = self.simulator.faults.find(request.entry)
        if state.settings.latency_ms:
            await asyncio.sleep(state.settings.latency_ms / 1000)

        def apply() -> Response:
            return self.respond(state, route, request)

        response = (
            await Injection(fault, request, state, apply).run() if fault else apply()
        )
        if response is not None:
            await _send(state, request, response)

    def _record(self, request: Request) -> Route[State] | None:
        """Find the route of a request and add the request to the journal."""
        router = iam if request.raw_path.startswith(f"{iam.prefix}/") else iotda
        route, request.path_params = router.find(request.method, request.raw_path)
        request.entry = self.simulator.journal.add(
            time.time(),
            route.operation if route else "Unknown",
            method=request.method,
            path=request.raw_path,
            query=request.raw_query,
            request_id=secrets.token_hex(16),
            **_subject(request.path_params, request.document),
        )
        return route

    def respond(
        self, state: State, route: Route[State] | None, request: Request
    ) -> Response:
        """Apply a request to the state."""
        request.now = state.now()
        advance_tasks(state)
        try:
            if route is None:
                raise unknown_endpoint()
            if len(request.body) >= BODY_MAX:
                raise body_too_large()
            if "project_id" in request.path_params:
                _throttle(state)
                check_access(state, request)
            return route.handler(state, request)
        except NotJson as exc:
            error = unreadable_body(str(exc))
        except SchemaError as exc:
            error = invalid_input(str(exc))
        except ApiError as exc:
            error = exc
        return _error_response(error, request)


def _subject(path_params: dict[str, str], document: Any) -> dict[str, Any]:
    """Return the policy and the targets that a request names; neither is checked."""
    subject: dict[str, Any] = {"policy_id": path_params.get("policy_id")}
    if device_id := path_params.get("device_id"):
        return subject | {"target_type": "device", "target_ids": [device_id]}
    if isinstance(document, dict):
        ids = document.get("target_ids", document.get("targets"))
        kind = document.get("target_type", "device" if "targets" in document else None)
        subject["target_type"] = kind if isinstance(kind, str) else None
        subject["target_ids"] = (
            [one for one in ids if isinstance(one, str)]
            if isinstance(ids, list)
            else []
        )
    return subject


def _throttle(state: State) -> None:
    wait = state.bucket.take(state.settings.rate, state.settings.burst)
    if wait:
        raise throttled(math.ceil(wait))


def _error_response(error: ApiError, request: Request) -> Response:
    if request.raw_path.startswith(f"{iam.prefix}/"):
        return keystone_error(error)
    content = {"error_code": error.code, "error_msg": error.message}
    if error.code.startswith("APIGW."):
        content["request_id"] = request.entry.request_id
    headers = (
        {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    )
    return Response(error.status, content, headers)


async def _send(state: State, request: Request, response: Response) -> None:
    entry, connection = request.entry, request.connection
    entry.status = response.status
    if isinstance(response.content, dict):
        entry.error_code = response.content.get("error_code")
    response.headers |= {
        "X-Request-Id": entry.request_id,
        "Date": formatdate(state.now(), usegmt=True),
    }
    await connection.write(response.encode())
    entry.answered = not connection.closed
