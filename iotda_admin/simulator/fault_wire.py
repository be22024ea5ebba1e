"""Faults below HTTP: bytes that come slowly, wrongly, in excess, or not at all."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from functools import cache

from .faults import Kind, Shot

HANG_AT_MOST = 60.0
HUGE = 200 * 1024 * 1024


def head(shot: Shot, *headers: str) -> bytes:
    """The start of an answer; sending it is what the journal calls a status."""
    shot.call.entry.status = shot.answer.status
    lines = [
        f"HTTP/1.1 {shot.answer.status} OK",
        "Content-Type: application/json",
        *headers,
    ]
    lines.append(f"X-Request-Id: {shot.call.entry.request_id}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def hang(shot: Shot) -> None:
    await shot.wire.until_gone(
        min(float(shot.args.get("seconds", HANG_AT_MOST)), HANG_AT_MOST)
    )
    shot.wire.reset()


async def drop(shot: Shot) -> None:
    shot.wire.close()


async def reset(shot: Shot) -> None:
    """Half of the answer first, if args.started."""
    if shot.args.get("started"):
        body = shot.answer.body()
        await shot.wire.write(
            head(shot, f"Content-Length: {len(body)}") + body[: len(body) // 2]
        )
        await asyncio.sleep(0.01)  # else the reset overtakes what was written
    shot.wire.reset()


async def truncate(shot: Shot) -> None:
    """args.length: whether a Content-Length gives it away."""
    body = shot.answer.body()
    headers = (
        [f"Content-Length: {len(body)}"]
        if shot.args.get("length", True)
        else ["Connection: close"]
    )
    await shot.wire.write(head(shot, *headers) + body[: len(body) // 2])
    shot.wire.close()


async def drip_body(shot: Shot) -> None:
    body = shot.answer.body() or b"{}"
    await shot.wire.write(head(shot, f"Content-Length: {len(body)}"))
    await _drip(shot, body)


async def drip_headers(shot: Shot) -> None:
    body = shot.answer.body() or b"{}"
    await _drip(shot, head(shot, f"Content-Length: {len(body)}") + body)


async def _drip(shot: Shot, data: bytes) -> None:
    for at in range(len(data)):
        if shot.wire.gone:
            break
        await shot.wire.write(data[at : at + 1])
        await asyncio.sleep(float(shot.args.get("seconds", 0.3)))
    shot.call.entry.answered = not shot.wire.gone
    shot.wire.close()


async def huge(shot: Shot) -> None:
    size = int(shot.args.get("bytes", HUGE))
    await shot.wire.write(head(shot, f"Content-Length: {size}"))
    await _pour(shot, _spaces(size))


async def gzip_bomb(shot: Shot) -> None:
    """Small on the wire, args.bytes once unpacked."""
    bomb = await asyncio.to_thread(_bomb, int(shot.args.get("bytes", HUGE)))
    await shot.wire.write(
        head(shot, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}") + bomb
    )
    shot.wire.close()


@cache
def _bomb(size: int) -> bytes:
    return gzip.compress(b" " * size, 6)


async def deep_json(shot: Shot) -> None:
    depth = int(shot.args.get("depth", 100_000))
    await _whole(shot, b"[" * depth + b"]" * depth)


async def dup_key(shot: Shot) -> None:
    """The key success_targets twice: once empty, once as it was."""
    body = shot.answer.body()
    await _whole(shot, b'{"success_targets":[],' + (body[1:] or b"}"))


async def _whole(shot: Shot, body: bytes) -> None:
    await shot.wire.write(head(shot, f"Content-Length: {len(body)}") + body)
    shot.call.entry.answered = not shot.wire.gone
    shot.wire.close()


async def _spaces(size: int) -> AsyncIterator[bytes]:
    block = b" " * 65_536
    for at in range(0, size, len(block)):
        yield block[: size - at]


async def _pour(shot: Shot, blocks: AsyncIterator[bytes]) -> None:
    async for block in blocks:
        if shot.wire.gone:
            return
        await shot.wire.write(block)
    shot.wire.close()


WIRE: dict[str, Kind] = {
    act.__name__: Kind(act)
    for act in (
        hang,
        drop,
        reset,
        truncate,
        drip_body,
        drip_headers,
        huge,
        gzip_bomb,
        deep_json,
        dup_key,
    )
}
