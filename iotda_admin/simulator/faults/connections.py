"""Faults below HTTP: bytes that are slow, wrong, too many or missing."""

import asyncio
import gzip
from functools import cache

from ..server import encode_head
from .kinds import Injection, replaces_response

MAX_HANG_SECONDS = 60.0
HUGE = 200 * 1024 * 1024
BLOCK = b" " * 65_536


def _head(injection: Injection, headers: dict[str, str]) -> bytes:
    """Encode the head of the response and record its status."""
    entry, status = injection.request.entry, injection.response.status
    entry.status = status
    headers = {
        "Content-Type": "application/json",
        **headers,
        "X-Request-Id": entry.request_id,
    }
    return encode_head(status, headers)


def _length(body: bytes) -> dict[str, str]:
    return {"Content-Length": str(len(body))}


@replaces_response
async def hang(injection: Injection) -> None:
    seconds = float(injection.args.get("seconds", MAX_HANG_SECONDS))
    await injection.connection.wait_closed(min(seconds, MAX_HANG_SECONDS))
    injection.connection.reset()


@replaces_response
async def drop(injection: Injection) -> None:
    injection.connection.close()


@replaces_response
async def reset(injection: Injection) -> None:
    """Reset the connection, after half of the response if args.started."""
    if injection.args.get("started"):
        body = injection.response.body()
        half = body[: len(body) // 2]
        await injection.connection.write(_head(injection, _length(body)) + half)
        await asyncio.sleep(0.01)  # otherwise the reset overtakes what was written
    injection.connection.reset()


@replaces_response
async def truncate(injection: Injection) -> None:
    """Send half of the response. Without args.length no Content-Length shows it."""
    body = injection.response.body()
    headers = (
        _length(body) if injection.args.get("length", True) else {"Connection": "close"}
    )
    await injection.connection.write(_head(injection, headers) + body[: len(body) // 2])
    injection.connection.close()


@replaces_response
async def drip_body(injection: Injection) -> None:
    body = injection.response.body() or b"{}"
    await injection.connection.write(_head(injection, _length(body)))
    await _drip(injection, body)


@replaces_response
async def drip_headers(injection: Injection) -> None:
    body = injection.response.body() or b"{}"
    await _drip(injection, _head(injection, _length(body)) + body)


async def _drip(injection: Injection, data: bytes) -> None:
    seconds = float(injection.args.get("seconds", 0.3))
    for at in range(len(data)):
        if injection.connection.closed:
            break
        await injection.connection.write(data[at : at + 1])
        await asyncio.sleep(seconds)
    _finish(injection)


@replaces_response
async def huge(injection: Injection) -> None:
    size = int(injection.args.get("bytes", HUGE))
    await injection.connection.write(_head(injection, {"Content-Length": str(size)}))
    for sent in range(0, size, len(BLOCK)):
        await injection.connection.write(BLOCK[: size - sent])
    injection.connection.close()


@replaces_response
async def gzip_bomb(injection: Injection) -> None:
    """Send a small body that unpacks to args.bytes."""
    bomb = await asyncio.to_thread(_bomb, int(injection.args.get("bytes", HUGE)))
    headers = {"Content-Encoding": "gzip", **_length(bomb)}
    await injection.connection.write(_head(injection, headers) + bomb)
    injection.connection.close()


@cache
def _bomb(size: int) -> bytes:
    return gzip.compress(b" " * size, 6)


@replaces_response
async def deep_json(injection: Injection) -> None:
    depth = int(injection.args.get("depth", 100_000))
    await _send(injection, b"[" * depth + b"]" * depth)


@replaces_response
async def dup_key(injection: Injection) -> None:
    """Send the key success_targets twice: empty, then as it was."""
    body = injection.response.body()
    await _send(injection, b'{"success_targets":[],' + (body[1:] or b"}"))


async def _send(injection: Injection, body: bytes) -> None:
    await injection.connection.write(_head(injection, _length(body)) + body)
    _finish(injection)


def _finish(injection: Injection) -> None:
    injection.request.entry.answered = not injection.connection.closed
    injection.connection.close()
