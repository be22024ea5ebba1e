"""One HTTP exchange, within a deadline and a size limit."""

import re
import ssl
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, TypedDict
from urllib.parse import unquote, urlsplit

import requests
from requests import PreparedRequest
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Retry, Timeout
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ProxyError
from urllib3.util import make_headers
from urllib3.util.ssl_ import create_urllib3_context

from .sockets import TimedConnection, TimedTLS, current_budget

# Bytes of a body after decompression. A page of 50 devices has about 30 kB.
BODY_LIMIT = 8 * 1024 * 1024
PIECE = 64 * 1024
SECRET_HEADERS = ("Authorization", "X-Auth-Token", "X-Security-Token")


class TooLarge(Exception):
    """The body exceeds BODY_LIMIT; what was read is dropped."""


class ProxyFailure(Exception):
    """The proxy did not forward the request. `status` is its answer's, if it had one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


WIRE_ERRORS = (
    requests.RequestException,
    HTTPError,
    HTTPException,
    OSError,
    TooLarge,
    ProxyFailure,
)
# Send once, and follow no redirect: it would take the body and the token elsewhere.
ONCE = Retry(False, redirect=False)
# How http.client says that a proxy refuses a tunnel.
TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})")


class NoFreeConnection(TimeoutError):
    """All connections were busy until the deadline."""


@dataclass(frozen=True, slots=True, repr=False)  # all but the status may have secrets
class Response:
    """A whole response, before anything was parsed, and its request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    request: PreparedRequest

    @property
    def request_id(self) -> str:
        return self.headers.get("X-Request-Id", "")


class _TLSConnection(TimedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = TimedConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": _Pool, "https": _TLSPool}


@cache
def _tls_context(*ca_bundles: str) -> ssl.SSLContext:
    """Return one context for these bundles: parsing one takes about 20 ms."""
    context = create_urllib3_context()
    context.sslsocket_class = TimedTLS
    for ca_bundle in filter(None, ca_bundles):
        context.load_verify_locations(ca_bundle)
    return context


def _pool_manager(pool_size: int, proxy: str, ca_bundle: str) -> PoolManager:
    """Return urllib3's pools with our connections in them."""
    options: dict[str, Any] = {
        "maxsize": pool_size,
        "block": True,
        "ssl_context": _tls_context(DEFAULT_CA_BUNDLE_PATH, ca_bundle),
        "cert_reqs": "CERT_REQUIRED",
    }
    manager = PoolManager(**options)
    if proxy:
        parts = urlsplit(proxy)
        person = unquote(f"{parts.username or ''}:{parts.password or ''}")
        named = make_headers(proxy_basic_auth=person) if parts.username else {}
        manager = ProxyManager(proxy, proxy_headers=named, **options)
    manager.pool_classes_by_scheme = _POOLS
    return manager


class Connecting(TypedDict, total=False):
    """How to connect; `Client` documents the options."""

    connect_timeout: float
    proxy: str
    ca_bundle: str


class Transport:
    """A pool of connections. Safe to share between threads; create it after a fork."""

    def __init__(
        self,
        *,
        pool_size: int,
        connect_timeout: float = 5.0,
        proxy: str = "",
        ca_bundle: str = "",
        secrets: Collection[str] = (),
    ) -> None:
        self._secrets = secrets
        self._connect_timeout = connect_timeout
        # An empty pool blocks without a time limit, so a thread takes a slot first.
        self._slots = threading.BoundedSemaphore(pool_size)
        host = urlsplit(proxy).netloc.rpartition("@")[2]  # without its password
        self._proxy = f"the proxy {host}" if host else "a proxy"
        self._manager = _pool_manager(pool_size, proxy, ca_bundle)

    def send(self, request: requests.Request) -> Response:
        """Sign and send a request within the thread's budget.

        To sign it may fetch a token from IAM. Raises one of WIRE_ERRORS.
        """
        prepared = _prepared(request)
        if not self._slots.acquire(timeout=current_budget().left()):
            raise NoFreeConnection("all connections are busy")
        try:
            response = self._open(prepared)
            try:
                with response:
                    body = self._masked(_read(response), prepared)
            finally:
                # A connection whose body was not read to its end is closed by now.
                response.release_conn()
        except ProxyError as exc:
            refused = TUNNEL_REFUSED.search(str(exc))
            raise self._proxy_failure(int(refused[1]) if refused else None) from None
        finally:
            self._slots.release()
        if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            raise self._proxy_failure(response.status)
        return Response(response.status, response.headers, body, prepared)

    def _open(self, request: PreparedRequest) -> BaseHTTPResponse:
        """Send the request, and return the response before its body.

        This is what requests does, without its sessions: they take as long as urllib3.
        """
        url = str(request.url)
        parts = urlsplit(url)
        pool = self._manager.connection_from_host(
            parts.hostname, parts.port, parts.scheme
        )
        # A proxy of plain HTTP gets the whole address.
        whole = isinstance(self._manager, ProxyManager) and parts.scheme == "http"
        return pool.urlopen(
            str(request.method),
            url if whole else request.path_url,
            request.body,
            dict(request.headers.items()),
            retries=ONCE,
            redirect=False,
            assert_same_host=False,
            timeout=Timeout(self._connect_timeout, current_budget().left()),
            pool_timeout=current_budget().left(),  # type: ignore[arg-type]
            preload_content=False,
            decode_content=False,
        )

    def _proxy_failure(self, status: int | None) -> ProxyFailure:
        match status:
            case None:
                problem = "cannot be reached"
            case HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
                problem = "asks for a user name and password (HTTP 407)"
            case _:
                problem = f"does not connect to IoTDA (HTTP {status})"
        return ProxyFailure(f"{self._proxy} {problem}", status)

    def _masked(self, body: bytes, request: PreparedRequest) -> bytes:
        """Mask our credentials: a gateway may echo them, and messages are stored."""
        sent = [request.headers.get(name, "") for name in SECRET_HEADERS]
        for secret in filter(None, [*sent, *self._secrets]):
            body = body.replace(str(secret).encode(), b"***")
        return body

    def close(self) -> None:
        self._manager.clear()


def _prepared(request: requests.Request) -> PreparedRequest:
    """Return what `Request.prepare` makes of it, without cookies, files and hooks."""
    prepared = PreparedRequest()
    prepared.method = request.method
    if request.params:
        prepared.prepare_url(request.url, request.params)
    else:
        prepared.url = _encoded_url(request.url)
    prepared.prepare_headers(request.headers)
    prepared.prepare_body(request.data, None, request.json)
    prepared.prepare_auth(request.auth, request.url)
    return prepared


@lru_cache(maxsize=256)
def _encoded_url(url: str) -> str | None:
    """The calls of an operation often have one address, which takes as long as a body."""
    prepared = PreparedRequest()
    prepared.prepare_url(url, None)
    return prepared.url


def _read(response: BaseHTTPResponse) -> bytes:
    body = bytearray()
    # Decode in small pieces: a few kB of gzip can expand to gigabytes.
    for piece in response.stream(PIECE, decode_content=True):
        body += piece
        if len(body) > BODY_LIMIT:
            raise TooLarge
    return bytes(body)
