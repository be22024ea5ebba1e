"""Connections that keep a total deadline.

`requests` limits each read, so a peer that sends a byte now and then holds a call for as long as it likes.
Here every blocking operation of the socket (name lookup, connect, TLS handshake, send, receive) first sets
the socket's timeout to what the calling thread's budget has left. All of them pass through these two
classes, so no thread has to watch and nothing has to be interrupted from outside.
"""

import socket
import ssl
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
)

from .deadline import current

# The platform closes idle connections; reusing one at that moment looks like a lost answer.
IDLE_LIMIT_S = 15.0

AddressInfo = tuple[int, int, int, str, Any]
Addresses = Sequence[AddressInfo]


def _limit(sock: socket.socket) -> None:
    budget = current()
    if budget is not None:
        sock.settimeout(budget.left())


class TimedSocket(socket.socket):
    """A plain socket that never blocks beyond the budget of the thread that uses it."""

    ended = False  # the peer has closed its side, and we have read that

    def recv(self, *args: Any) -> bytes:
        _limit(self)
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        _limit(self)
        count = super().recv_into(*args)
        self.ended = not count
        return count

    def send(self, *args: Any) -> int:
        _limit(self)
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        _limit(self)  # CPython takes the timeout of sendall as a total
        super().sendall(*args)


class TimedTLS(ssl.SSLSocket):
    """The same for TLS: `recv`, `recv_into` and `sendall` of SSLSocket end in these three."""

    ended = False

    def read(self, *args: Any) -> Any:
        _limit(self)
        found = super().read(*args)
        self.ended = not found
        return found

    def send(self, *args: Any) -> int:
        _limit(self)
        return super().send(*args)

    def do_handshake(self, block: bool = False) -> None:
        _limit(self)
        super().do_handshake(block)


def _ask_resolver(
    host: str, port: int, answer: SimpleQueue[Addresses | OSError]
) -> None:
    try:
        answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except OSError as exc:
        answer.put(exc)


def lookup(host: str, port: int, timeout: float) -> Addresses:
    """getaddrinfo with a timeout. It cannot be interrupted, so a slow one is left behind in its own
    thread."""
    try:
        return socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except socket.gaierror:
        pass  # a name, not an address
    answer: SimpleQueue[Addresses | OSError] = SimpleQueue()
    threading.Thread(
        target=_ask_resolver, args=(host, port, answer), daemon=True
    ).start()
    try:
        found = answer.get(timeout=timeout)
    except Empty:
        raise socket.gaierror(socket.EAI_AGAIN, "name lookup took too long") from None
    if isinstance(found, OSError):
        raise found
    return found


def dial(host: str, port: int, timeout: float) -> TimedSocket:
    """A connected socket within `timeout` seconds in all, however many addresses the name has."""
    ends = monotonic() + timeout
    error: OSError = OSError("the name has no address")
    for family, kind, proto, _, address in lookup(host, port, timeout):
        left = ends - monotonic()
        if left <= 0:
            raise TimeoutError("connect timeout")
        sock = TimedSocket(family, kind, proto)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(left)
            sock.connect(address)
            return sock
        except OSError as exc:
            sock.close()
            error = exc
    raise error


class _Timed(HTTPConnection):
    """What both kinds of connection share. urllib3's own hooks; it calls them in this order."""

    last_used = 0.0

    @property
    def is_connected(self) -> bool:
        """Asked by the pool before reuse: no for a connection that idled too long."""
        return monotonic() - self.last_used < IDLE_LIMIT_S and super().is_connected

    def _new_conn(self) -> socket.socket:
        budget = current()
        limit = float(self.timeout or 0) or 5.0
        try:
            return dial(
                self._dns_host,
                self.port,
                min(limit, budget.left()) if budget else limit,
            )
        except socket.gaierror as exc:
            raise NameResolutionError(self.host, self, exc) from exc
        except TimeoutError as exc:
            raise ConnectTimeoutError(self, "connect timeout") from exc
        except OSError as exc:
            raise NewConnectionError(self, str(exc)) from exc

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        budget = current()
        if budget is not None:
            budget.sent = (
                True  # from here on the peer may have the request, whatever happens
            )
        super().request(*args, **kwargs)

    def getresponse(self) -> Any:
        sock = self.sock
        response = super().getresponse()
        # http.client takes the end of the stream for the end of the headers. Nothing is read beyond what has
        # arrived, so a stream that has ended by now was cut off within them.
        if getattr(sock, "ended", False):
            response.close()
            raise ProtocolError("the connection was closed within the headers")
        self.last_used = monotonic()
        return response


class TimedHTTP(_Timed):
    pass


class TimedHTTPS(_Timed, HTTPSConnection):
    pass


class TimedHTTPPool(HTTPConnectionPool):
    ConnectionCls = TimedHTTP


class TimedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = TimedHTTPS
