"""HTTP/1.1 on asyncio streams. Faults can reach the connection to break it."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.client import responses as REASONS
from typing import Any
from urllib.parse import unquote

from .schema import NotJson, parse
from .state.journal import Entry

BODY_MAX = 12 * 1024 * 1024


@dataclass
class Request:
    method: str
    raw_path: str
    raw_query: str
    headers: dict[str, str]  # names in lower case
    body: bytes  # at most BODY_MAX; a longer body is cut there
    connection: "Connection"
    path_params: dict[str, str] = field(default_factory=dict)
    now: float = 0.0  # the platform's clock when the request is handled
    entry: Entry = field(init=False)  # in the journal; API requests only

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(query_pairs(self.raw_query.replace("+", " ")))

    @cached_property
    def document(self) -> Any:
        """The body as JSON, or None if it is not JSON."""
        content_type = self.headers.get("content-type", "application/json")
        if not self.body or not content_type.startswith("application/json"):
            return None
        try:
            document = json.loads(self.body)
            if b"\\u" in self.body:
                json.dumps(
                    document, ensure_ascii=False
                ).encode()  # refuses lone surrogates
            return document
        except (ValueError, RecursionError):
            return None

    def read[Model](self, model: type[Model]) -> Model:
        """Build a dataclass from the body. Raises SchemaError."""
        if self.document is None:
            raise NotJson("A JSON document is expected.")
        return parse(model, self.document)


def query_pairs(raw_query: str) -> list[tuple[str, str]]:
    """Decode a query string; a plus sign stays a plus sign."""
    parts = (part.partition("=") for part in raw_query.split("&") if part)
    return [(unquote(name), unquote(value)) for name, _, value in parts]


@dataclass(slots=True)
class Response:
    status: int
    content: Any = None  # bytes are sent as they are, anything else as JSON
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        if self.content is None:
            return b""
        if isinstance(self.content, bytes):
            return self.content
        return json.dumps(
            self.content, ensure_ascii=False, separators=(",", ":")
        ).encode()

    def encode(self) -> bytes:
        body, headers = self.body(), self.headers
        if self.status != 204:
            headers = {"Content-Length": str(len(body))} | headers
            headers = (
                {"Content-Type": "application/json"} | headers if body else headers
            )
        return encode_head(self.status, headers) + body


def encode_head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, '')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Connection:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer

    @property
    def closed(self) -> bool:
        """Whether we or the client have closed it."""
        return self._writer.is_closing() or self._reader.at_eof()

    async def write(self, data: bytes) -> None:
        if not self.closed:
            self._writer.write(data)
            await self._writer.drain()

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        if not self._writer.is_closing():
            connection: socket.socket = self._writer.get_extra_info("socket")
            connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self._writer.transport.abort()

    async def wait_closed(self, seconds: float) -> None:
        """Wait for the client to close it. Discards what the client sends."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                await self._reader.read()

    async def read_request(self) -> Request | None:
        """Read the next request; None if the client closed the connection."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            method, target, headers = _parse_head(head)
            body = await self._read_body(headers)
        except asyncio.IncompleteReadError:
            return None
        path, _, query = target.partition("?")
        return Request(method, path, query, headers, body, self)

    async def _read_body(self, headers: dict[str, str]) -> bytes:
        if "transfer-encoding" in headers:
            raise ValueError("a chunked body")
        length = int(headers.get("content-length", 0))
        body = await self._reader.readexactly(min(length, BODY_MAX))
        for start in range(BODY_MAX, length, BODY_MAX):
            await self._reader.readexactly(min(length - start, BODY_MAX))
        return body


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Split a request's head into its method, target and headers. Raises ValueError."""
    try:
        text = head.decode()
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    first, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
    method, target, _version = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return method, target, {name.lower(): value.strip() for name, _, value in pairs}


type Handler = Callable[[Request], Awaitable[None]]


async def start_server(handler: Handler, listener: socket.socket) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        with suppress(ConnectionError):
            await _serve_requests(connection, handler)
        connection.close()

    return await asyncio.start_server(serve, sock=listener, backlog=2048)


async def _serve_requests(connection: Connection, handler: Handler) -> None:
    while not connection.closed:
        try:
            request = await connection.read_request()
        except (ValueError, asyncio.LimitOverrunError):
            await connection.write(
                Response(400, headers={"Connection": "close"}).encode()
            )
            return
        if request is None:
            return
        await handler(request)
        if request.headers.get("connection", "").lower() == "close":
            return
