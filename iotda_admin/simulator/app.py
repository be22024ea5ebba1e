"""The API: reads a request, journals it, lets it pass or go wrong, and answers.

Plain ASGI, since most of a call's cost would otherwise be the framework's.
"""

import asyncio
import json
import secrets
import time
from email.utils import formatdate
from typing import Any

from starlette.types import Receive, Scope, Send

from .auth import check_caller
from .calls import Answer, Call
from .errors import Refusal, no_such_api, too_large
from .faults import Shot
from .protocol import Wire
from .routes import Operation, find
from .signatures import query_pair
from .simulator import Simulator
from .tasks import advance
from .world import World

BODY_MAX = 12 * 1024 * 1024


class Api:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        if body is None:
            return  # the client left before it had asked
        wire: Wire = scope["state"]["wire"]
        world = self.simulator.world
        operation, call = self._begin(world, scope, body)
        fault = self.simulator.faults.find(call.entry)
        shot = Shot(fault, call, world, wire) if fault else None
        if world.settings.latency_ms:
            await asyncio.sleep(world.settings.latency_ms / 1000)
        answer = await _carry_out(world, operation, call, shot)
        if answer is None:
            return
        _note(call, answer)
        await _send(send, world, call, answer)
        call.entry.answered = not wire.gone

    def _begin(
        self, world: World, scope: Scope, body: bytes
    ) -> tuple[Operation | None, Call]:
        method, raw_path = scope["method"], scope["raw_path"].decode("ascii", "replace")
        raw_query = scope["query_string"].decode("ascii", "replace")
        operation, path = find(method, raw_path)
        headers = {
            name.decode("latin-1"): _text(value) for name, value in scope["headers"]
        }
        document = _document(headers, body)
        entry = self.simulator.journal.start(
            time.time(),
            operation.name if operation else "Unknown",
            method=method,
            path=raw_path,
            query=raw_query,
            request_id=secrets.token_hex(16),
            **_subject(path, document),
        )
        query = (
            dict(map(query_pair, raw_query.replace("+", " ").split("&")))
            if raw_query
            else {}
        )
        return operation, Call(
            method,
            raw_path,
            raw_query,
            headers,
            body,
            query,
            path,
            entry,
            document=document,
        )


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _document(headers: dict[str, str], body: bytes) -> Any:
    if not body or not headers.get("content-type", "application/json").startswith(
        "application/json"
    ):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _subject(path: dict[str, str], document: Any) -> dict[str, Any]:
    """What the call is about, as far as it says so, before anyone has checked it."""
    about: dict[str, Any] = {"policy_id": path.get("policy_id")}
    if device_id := path.get("device_id"):
        return about | {"target_type": "device", "target_ids": [device_id]}
    if isinstance(document, dict):
        ids = document.get("target_ids", document.get("targets"))
        kind = document.get("target_type", "device" if "targets" in document else None)
        about["target_type"] = kind if isinstance(kind, str) else None
        about["target_ids"] = (
            [one for one in ids if isinstance(one, str)]
            if isinstance(ids, list)
            else []
        )
    return about


async def _carry_out(
    world: World, operation: Operation | None, call: Call, shot: Shot | None
) -> Answer | None:
    if shot is None:
        return _answer(world, operation, call)
    kind = shot.fault.kind
    call.entry.fault = shot.fault.name
    if kind.early:
        await kind.early(shot)
    if kind.applies or shot.moment == "after":
        shot.answer = _answer(world, operation, call)
    else:
        shot.answer = _as_if(call)
    return await kind.spoil(shot)


def _as_if(call: Call) -> Answer:
    """An answer to spoil when nothing was applied: it reads as though all had gone well."""
    entry = call.entry
    about = {"policy_id": entry.policy_id, "target_type": entry.target_type}
    return Answer(
        200, about | {"success_targets": entry.target_ids, "failure_targets": []}
    )


def _answer(world: World, operation: Operation | None, call: Call) -> Answer:
    call.now = world.now()
    advance(world)
    try:
        if operation is None:
            raise no_such_api()
        if len(call.body) >= BODY_MAX:
            raise too_large()
        if not operation.iam:
            world.calls.take(world.settings.rate, world.settings.burst)
            check_caller(world, call)
        return operation.handler(world, call)
    except Refusal as no:
        return _refused(no, call)


def _refused(no: Refusal, call: Call) -> Answer:
    content = {"error_code": no.code, "error_msg": no.message}
    if no.code.startswith("APIGW."):
        content["request_id"] = call.entry.request_id
    headers = [] if no.retry_after is None else [("Retry-After", str(no.retry_after))]
    return Answer(no.status, content, headers)


def _note(call: Call, answer: Answer) -> None:
    call.entry.status = answer.status
    if isinstance(answer.content, dict):
        call.entry.error_code = answer.content.get("error_code")


async def _read_body(receive: Receive) -> bytes | None:
    """At most BODY_MAX of it is kept; that many stands for "too large"."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"][: BODY_MAX - len(body)]
        if not message["more_body"]:
            return bytes(body)


async def _send(send: Send, world: World, call: Call, answer: Answer) -> None:
    body = answer.body()
    headers = [
        (b"x-request-id", call.entry.request_id.encode()),
        (b"date", formatdate(world.now(), usegmt=True).encode()),
        *((name.lower().encode(), value.encode()) for name, value in answer.headers),
    ]
    if answer.status != 204:
        headers.append((b"content-length", str(len(body)).encode()))
        if body and "Content-Type" not in dict(answer.headers):
            headers.append((b"content-type", b"application/json"))
    await send(
        {"type": "http.response.start", "status": answer.status, "headers": headers}
    )
    await send({"type": "http.response.body", "body": body})
