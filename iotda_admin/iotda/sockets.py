"""Connections that keep a total deadline.

`requests` limits each read, so a peer that sends a byte now and then can hold a call
forever. Here each blocking operation of a socket (connect, TLS handshake, send,
receive) first sets the socket's timeout to the rest of the calling thread's budget, and
the name lookup has a timeout. So nothing has to watch or interrupt a call.
"""

import socket
import ssl
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from threading import Thread
from time import monotonic
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
)

# The platform closes idle connections, and a request on one that closes at that moment
# looks like a lost response. Assumed: it keeps them longer than this.
IDLE_LIMIT_S = 15.0

type Addresses = Sequence[tuple[int, int, int, str, Any]]  # as getaddrinfo returns them


@dataclass(slots=True)
class Budget:
    """The time left for one call, and whether its first byte may have been sent."""

    own_end: float
    sent: bool = False
    latest: float = inf  # the end of an outer budget
    slack: float = 0.0  # an outer budget that takes less away does not cut it short

    @property
    def ends(self) -> float:
        return min(self.own_end, self.latest)

    def extend(self, seconds: float) -> None:
        """Add a wait that does not count, except in an outer budget."""
        self.own_end += seconds

    def left(self) -> float:
        """Return the seconds left; raise TimeoutError if there are none."""
        left = self.ends - monotonic()
        if left <= 0:  # a socket timeout of 0 would mean "do not block"
            raise TimeoutError("deadline passed")
        return left

    @property
    def spent(self) -> bool:
        return monotonic() >= self.ends

    @property
    def cut_short(self) -> bool:
        """Whether an outer budget is over and left this one much less than its time."""
        return self.latest <= min(monotonic(), self.own_end - self.slack)


_current: ContextVar[Budget] = ContextVar("budget")  # each thread has its own


def current_budget() -> Budget:
    """Return the budget of the call that this thread makes; it needs a time_budget."""
    return _current.get()


@contextmanager
def time_budget(seconds: float) -> Iterator[Budget]:
    """Limit this thread's block to `seconds`, or to an outer budget that ends first."""
    outer = _current.get(None)
    latest = outer.ends if outer else inf
    budget = Budget(monotonic() + seconds, latest=latest, slack=seconds / 10)
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)


def longest_wait() -> float:
    """Return the seconds until the budget ends that is around this thread's call."""
    budget = _current.get(None)
    return budget.latest - monotonic() if budget else inf


def _limit(sock: socket.socket) -> None:
    sock.settimeout(current_budget().left())


class TimedSocket(socket.socket):
    """A plain socket that never blocks longer than the thread's budget.

    http.client reads with recv_into and writes with sendall.
    """

    ended = False  # the peer closed its side, and we read the end

    def recv_into(self, *args: Any) -> int:
        _limit(self)
        count = super().recv_into(*args)
        self.ended = not count
        return count

    def sendall(self, *args: Any) -> None:
        _limit(self)  # CPython treats the timeout of sendall as a total
        super().sendall(*args)


class TimedTLS(ssl.SSLSocket):
    """The same for TLS: SSLSocket's recv, recv_into and sendall end in these three."""

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


def lookup(host: str, port: int, timeout: float) -> Addresses:
    """Run getaddrinfo with a timeout in seconds.

    It cannot be interrupted, so a slow one is abandoned in its own thread.
    """
    answer: Future[Addresses] = Future()

    def resolve() -> None:
        try:
            answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as exc:
            answer.set_exception(exc)

    Thread(target=resolve, daemon=True).start()
    try:
        return answer.result(timeout)
    except TimeoutError:
        raise socket.gaierror(socket.EAI_AGAIN, "name lookup took too long") from None


def dial(host: str, port: int, timeout: float) -> TimedSocket:
    """Connect within `timeout` seconds in all, however many addresses the name has."""
    budget = Budget(monotonic() + timeout)
    error = OSError("the name has no address")
    for family, kind, proto, _, address in lookup(host, port, timeout):
        left = budget.left()
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


class TimedConnection(HTTPConnection):
    """A connection within the thread's budget: urllib3's hooks, in call order."""

    last_used = 0.0

    @property
    def is_connected(self) -> bool:
        """The pool checks this before reuse: False after too long an idle time."""
        return monotonic() - self.last_used < IDLE_LIMIT_S and super().is_connected

    def _new_conn(self) -> socket.socket:
        try:
            # `Transport` sets a timeout for each connection.
            limit = min(float(self.timeout or 0), current_budget().left())
            return dial(self._dns_host, self.port, limit)
        except socket.gaierror as exc:
            raise NameResolutionError(self.host, self, exc) from exc
        except TimeoutError as exc:
            raise ConnectTimeoutError(self, "connect timeout") from exc
        except OSError as exc:
            raise NewConnectionError(self, str(exc)) from exc

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        current_budget().sent = True  # from here on the peer may have the request
        super().request(*args, **kwargs)

    def getresponse(self) -> Any:
        sock = self.sock
        response = super().getresponse()
        # http.client takes the end of the stream for the end of the headers. It reads
        # no further than what has arrived, so a stream that has ended by now was cut
        # off within the headers.
        if getattr(sock, "ended", False):
            response.close()
            raise ProtocolError("the connection was closed within the headers")
        self.last_used = monotonic()
        return response
