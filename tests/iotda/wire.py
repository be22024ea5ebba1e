"""A raw-socket server with faults that no web framework can produce."""

import gzip
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

JSON = b"Content-Type: application/json\r\n"


class Wire:
    """Reads each request in full, records it and calls `answer(sock, request)`."""

    def __init__(self, tls: Any = None) -> None:
        self.tls = tls
        self.requests: list[Any] = []
        self.connections, self.sent = 0, 0
        self.answer = reply({"devices": [], "page": {"count": 0}})
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
        self.port = self._listener.getsockname()[1]
        self.url = f"{scheme}://{host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for sock in [self._listener, *self._open]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def all_closed(self) -> bool:
        return all(sock.fileno() < 0 for sock in self._open)

    def deafen(self) -> None:
        """Accept no further connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: Any) -> None:
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            while request := read_request(sock):
                with self._lock:
                    self.requests.append(request)
                if self.answer(sock, request) is False:
                    break
        except OSError:
            pass
        finally:
            sock.close()

    def push(self, sock: Any, data: Any) -> None:
        sock.sendall(data)
        with self._lock:
            self.sent += len(data)


def read_request(sock: Any) -> Any:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (f.partition(":") for f in fields)
    }
    while len(body) < int(headers.get("content-length", 0)):
        body += sock.recv(65536)
    method, target, _ = line.split(" ")
    return {"method": method, "target": target, "headers": headers, "body": body}


def head(status: int = 200, *fields: Any) -> Any:
    lines = [f"HTTP/1.1 {status} X", *fields]
    return "\r\n".join(lines).encode() + b"\r\n" + JSON


def reply(body: Any = b"", status: int = 200, *fields: Any) -> Callable[..., Any]:
    """Return a handler that sends a complete response; a dict or list as JSON."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    fields = ("X-Request-Id: req-1", *fields)

    def answer(sock: Any, request: Any) -> None:
        length = b"" if status == 204 else b"Content-Length: %d\r\n" % len(body)
        sock.sendall(head(status, *fields) + length + b"\r\n" + body)

    return answer


def hang(sock: Any, request: Any) -> bool:
    sock.recv(1)  # until the other side gives up
    return False


def drip(start: Any, piece: Any = b"a") -> Callable[..., Any]:
    def answer(sock: Any, request: Any) -> None:
        sock.sendall(start)
        while True:
            sock.sendall(piece)
            time.sleep(0.02)

    return answer


def then_close(data: Any = b"") -> Callable[..., Any]:
    def answer(sock: Any, request: Any) -> bool:
        sock.sendall(data)
        return False

    return answer


def reset(sock: Any, request: Any) -> bool:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def huge(wire: Wire) -> Callable[..., Any]:
    """200 MB of JSON whitespace, in chunks."""

    def answer(sock: Any, request: Any) -> None:
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        wire.push(sock, head(200, "Transfer-Encoding: chunked") + b"\r\n")
        for _ in range(3200):
            wire.push(sock, chunk)

    return answer


def long(wire: Wire, encoding: str = "identity") -> Callable[..., Any]:
    """200 MB of blanks, with their length."""

    def answer(sock: Any, request: Any) -> None:
        names = "Content-Length: 209715200", f"Content-Encoding: {encoding}"
        wire.push(sock, head(200, *names) + b"\r\n")
        for _ in range(3200):
            wire.push(sock, b" " * 65536)

    return answer


def bomb() -> Callable[..., Any]:
    """200 MB of zeros as 200 kB of gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = (
        b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    )
    return reply(body, 200, "Content-Encoding: gzip")


def gzipped(document: Any) -> Callable[..., Any]:
    return reply(
        gzip.compress(json.dumps(document).encode()), 200, "Content-Encoding: gzip"
    )
