"""The worker of gunicorn, which gives no thread to a client that sends slowly.

Gunicorn's own worker reads the head of a request in a thread, without a limit of time: as
many slow clients as there are threads stop the site. Its ``timeout`` does not end them.
"""

import errno
import socket
import struct
import time
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn import http  # type: ignore[import-untyped]
from gunicorn.workers.gthread import (  # type: ignore[import-untyped]
    TConn,
    ThreadWorker,
)

# The head of a request has to arrive within this time, however many pieces it comes in.
HEAD_SECONDS = 10.0
# A longer one goes to the parser, which knows the limits.
HEAD_BYTES = 65_536
# A body may pause for this long in all, and then has to arrive at this rate.
BODY_SECONDS = 20.0
BYTES_PER_SECOND = 20_000
# A client that takes nothing of the answer for this long is disconnected.
SEND_SECONDS = 20
# What accept() raises if the client has gone again.
GONE = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)


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


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """Collects the head of each request in the main loop, and then uses a thread."""

    def accept(self, listener: socket.socket) -> None:
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in GONE:
                raise
            return
        client.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0)
        )
        self.nr_conns += 1
        conn = TConn(self.cfg, client, address, listener.getsockname())
        conn.parser = http.get_parser(self.cfg, BoundedReader(client), address)
        self.await_head(conn)

    def await_head(self, conn: Any) -> None:
        conn.head = b""
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + HEAD_SECONDS
        self.pending_conns.append(conn)
        callback = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, EVENT_READ, callback)

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """Collect the head of the next request of a kept connection."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self.await_head(conn)

    def on_pending_socket_readable(self, conn: Any, client: socket.socket) -> None:
        try:
            data = client.recv(HEAD_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        conn.head += data
        incomplete = b"\r\n\r\n" not in conn.head and len(conn.head) < HEAD_BYTES
        if data and incomplete:
            return
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        if not data:
            self.nr_conns -= 1
            conn.close()
            return
        conn.data_ready = True
        conn.parser.unreader.unread(conn.head)
        conn.parser.unreader.sock.begin()
        self.enqueue_req(conn)
