"""The worker of gunicorn, which keeps threads free.

Gunicorn's own worker reads the head of a request in a thread, without a limit of time: as
many slow clients as there are threads stop the site. Its ``timeout`` does not end them.
And after each answer its main loop waits up to 2 s for the client to close the connection.
This one waits for clients without a thread and without a pause of the main loop, and lets
the requests to some views wait until few enough of them are being served.
"""

import errno
import re
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn import http  # type: ignore[import-untyped]
from gunicorn.workers.gthread import (  # type: ignore[import-untyped]
    TConn,
    ThreadWorker,
)

from iotda_admin.core.concurrency import group_of_target, requests_at_once

# The head and a short body have to arrive within this time, in however many pieces. As
# long may a client take to close a connection.
HEAD_SECONDS = 10.0
# A longer head goes to the parser, which knows the limits. A longer body is read in a
# thread.
HEAD_BYTES = 65_536
HEAD_END = b"\r\n\r\n"
REQUEST_LINE = re.compile(rb"\s*[A-Z]+ (\S+) HTTP/")
BODY_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,5})[ \t]*\r\n", re.I)
# What says that a request has a body, or that the client holds it back.
NAMES_BODY = re.compile(rb"\r\n(content-length|transfer-encoding|expect):", re.I)
# So many requests to a group of views wait for each that is served.
WAITING_FOR_EACH = 16
# A body may pause for this long in all, and then has to arrive at this rate.
BODY_SECONDS = 20.0
BYTES_PER_SECOND = 20_000
# A client that takes nothing of the answer for this long is disconnected.
SEND_SECONDS = 20
# What accept() raises if the client has gone again, and if the system has no room.
GONE = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def refusal(status: str, title: str, text: str) -> bytes:
    """Return the answer to a request that gets no thread."""
    page = f"""<!doctype html>
<html lang="en"><title>{title}</title>
<h1>{title}</h1>
<p>{text} Nothing was changed.</p></html>
"""
    head = (
        f"HTTP/1.1 {status}",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(page)}",
        "Retry-After: 5",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "\r\n".join([*head, "", page]).encode()


BUSY = refusal(
    "503 Service Unavailable",
    "IoTDA Admin is busy",
    "Too many requests to this page are waiting. Try again in 5 seconds.",
)
TOO_LONG = refusal(
    "413 Content Too Large",
    "The request is too long",
    "This page takes only short forms of a known length.",
)


class BoundedReader:
    """A socket that reads a body only while it arrives fast enough."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.begin()

    def begin(self) -> None:
        self.until = time.monotonic() + BODY_SECONDS

    def recv(self, size: int) -> bytes:
        before, left = self.gettimeout(), self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("The body of the request came too slowly.")
        self.settimeout(left if before is None else min(before, left))
        try:
            data = self.connection.recv(size)
        finally:
            self.settimeout(before)
        self.until += len(data) / BYTES_PER_SECOND
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


def body_to_await(head: bytes) -> int | None:
    """Return the bytes of a short body; None if a thread has to read the body."""
    named = NAMES_BODY.findall(head)
    if not named:
        return 0
    length = BODY_LENGTH.search(head)
    if len(named) > 1 or length is None or len(head) + int(length[1]) > HEAD_BYTES:
        return None
    return int(length[1])


def bytes_to_await(data: bytes) -> int:
    """Return how much of a request is collected before it gets a thread."""
    head, end, _body = data.partition(HEAD_END)
    return len(head + end) + (body_to_await(head + end) or 0) if end else HEAD_BYTES


def received(client: socket.socket) -> bytes | None:
    """Return what has arrived: nothing at the end or after an error, None for no data."""
    try:
        return client.recv(HEAD_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""


class Group:
    """The requests to the views of a group; used in the main loop only."""

    def __init__(self, limit: int) -> None:
        self.limit, self.served = limit, 0
        self.waiting = deque[Any]()

    @property
    def full(self) -> bool:
        return len(self.waiting) >= WAITING_FOR_EACH * self.limit


class Connection(TConn):  # type: ignore[misc]
    """A connection that is not closed before its client has read the answer."""

    def __init__(self, worker: "BufferingWorker", *address: Any) -> None:
        super().__init__(worker.cfg, *address)
        self.worker, self.group = worker, None
        # What has arrived of the next request, and its length once its head is whole.
        self.head, self.awaited = bytearray(), 0

    def close(self, graceful: bool = False) -> None:
        if graceful:
            self.worker.await_close(self)
        else:
            super().close()


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """Collects the start of each request in the main loop, and then uses a thread."""

    def init_process(self) -> None:
        self.groups: dict[str, Group] = {}
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in NO_ROOM:
                self.set_accept_enabled(False)  # until the next turn of the loop
            elif error.errno not in GONE:
                raise
            return
        client.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0)
        )
        self.nr_conns += 1
        conn = Connection(self, client, address, listener.getsockname())
        conn.parser = http.get_parser(self.cfg, BoundedReader(client), address)
        self.await_head(conn)

    def await_data(self, conn: Any, callback: Callable[..., None]) -> None:
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + HEAD_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(callback, conn))

    def end_wait(self, conn: Any) -> None:
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)

    def drop(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def await_head(self, conn: Any, begun: bytes = b"") -> None:
        conn.head, conn.awaited = bytearray(), 0
        self.add(conn, begun)
        self.await_data(conn, self.on_pending_socket_readable)

    def await_close(self, conn: Any) -> None:
        """Close a connection of which the requests are answered when its client has.

        Closed at once, it could lose the end of the answer.
        """
        self.nr_conns += 1  # gunicorn no longer counts it
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(conn)
        else:
            self.await_data(conn, self.on_closing_socket_readable)

    def on_closing_socket_readable(self, conn: Any, client: socket.socket) -> None:
        if received(client) == b"":
            self.end_wait(conn)
            self.drop(conn)

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """Collect the head of the next request of a kept connection."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self.await_head(conn)

    def on_pending_socket_readable(self, conn: Any, client: socket.socket) -> None:
        data = received(client)
        if data is None or (data and not self.add(conn, data)):
            return
        self.end_wait(conn)
        if not data:
            self.drop(conn)
            return
        conn.data_ready = True
        conn.parser.unreader.unread(bytes(conn.head))
        conn.parser.unreader.sock.begin()
        self.enqueue_req(conn)

    def add(self, conn: Any, data: bytes) -> bool:
        """Add what has arrived; return whether it is enough for a thread."""
        known = max(0, len(conn.head) - len(HEAD_END))
        conn.head += data
        if conn.head.startswith((b"\r", b"\n")):
            conn.head = conn.head.lstrip(b"\r\n")  # empty lines before the request
        # Searched once: a client may send byte by byte.
        if not conn.awaited and conn.head.find(HEAD_END, known) >= 0:
            conn.awaited = bytes_to_await(bytes(conn.head))
        return len(conn.head) >= (conn.awaited or HEAD_BYTES)

    def enqueue_req(self, conn: Any) -> None:
        """Give a request its thread, or a place in the queue of its group."""
        begun = conn.parser.unreader.buf.getvalue()
        if len(begun) < bytes_to_await(begun):
            # A part of it came with the last request.
            self.await_head(conn, conn.parser.unreader.take_buffered())
            return
        group = self.group_of(begun)
        if group and body_to_await(begun.partition(HEAD_END)[0] + HEAD_END) is None:
            self.refuse(conn, TOO_LONG)
            return
        if group and group.served >= group.limit:
            if group.full:
                self.refuse(conn, BUSY)
            else:
                group.waiting.append(conn)
            return
        self.begin(conn, group)

    def begin(self, conn: Any, group: Group | None) -> None:
        if group:
            group.served += 1
        conn.group = group
        super().enqueue_req(conn)

    def refuse(self, conn: Any, answer: bytes) -> None:
        conn.sock.setblocking(False)
        with suppress(OSError):
            conn.sock.send(answer)
        self.nr_conns -= 1
        conn.close(graceful=True)

    def finish_request(self, conn: Any, fs: Any) -> None:
        group, conn.group = conn.group, None
        # The next request on this connection may have arrived, and is queued here.
        super().finish_request(conn, fs)
        if group:
            group.served -= 1
            if group.waiting:
                self.begin(group.waiting.popleft(), group)

    def group_of(self, head: bytes) -> Group | None:
        line = REQUEST_LINE.match(head[: self.cfg.limit_request_line])
        name = group_of_target(line[1].decode("latin-1")) if line else ""
        if not name:
            return None
        if name not in self.groups:
            self.groups[name] = Group(requests_at_once(name, self.cfg.threads))
        return self.groups[name]
