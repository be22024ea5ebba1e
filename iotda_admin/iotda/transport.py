"""One HTTP exchange, within a deadline and a size limit."""

import re
import ssl
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypedDict
from urllib.parse import urlsplit

import requests
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
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


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Never follow: requests would send body and X-Auth-Token to another host."""


@cache
def _tls_context(*ca_bundles: str) -> ssl.SSLContext:
    """Return one context for these bundles: parsing one takes about 20 ms."""
    context = create_urllib3_context()
    context.sslsocket_class = TimedTLS
    for ca_bundle in filter(None, ca_bundles):
        context.load_verify_locations(ca_bundle)
    return context


class _Adapter(HTTPAdapter):
    """urllib3's pools with our connections in them."""

    def __init__(self, pool_size: int, ca_bundle: str) -> None:
        self._tls = _tls_context(DEFAULT_CA_BUNDLE_PATH, ca_bundle)
        super().__init__(pool_maxsize=pool_size, max_retries=0, pool_block=True)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._tls, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Rely on the context; requests would parse the bundle for each connection."""
        conn.cert_reqs = "CERT_REQUIRED"


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
        self._session = _Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.proxies = {"all": proxy}
        host = urlsplit(proxy).netloc.rpartition("@")[2]  # without its password
        self._proxy = f"the proxy {host}" if host else "a proxy"
        adapter = _Adapter(pool_size, ca_bundle)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def send(self, request: requests.Request) -> Response:
        """Sign and send a request within the thread's budget.

        To sign it may fetch a token from IAM. Raises one of WIRE_ERRORS.
        """
        prepared = self._session.prepare_request(request)
        if not self._slots.acquire(timeout=current_budget().left()):
            raise NoFreeConnection("all connections are busy")
        try:
            response = self._session.send(
                prepared,
                stream=True,
                timeout=(self._connect_timeout, current_budget().left()),
                allow_redirects=False,
            )
            with response:
                body = self._masked(_read(response), prepared)
        except requests.exceptions.ProxyError as exc:
            refused = TUNNEL_REFUSED.search(str(exc))
            raise self._proxy_failure(int(refused[1]) if refused else None) from None
        finally:
            self._slots.release()
        if response.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            raise self._proxy_failure(response.status_code)
        return Response(response.status_code, response.headers, body, prepared)

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
        self._session.close()


def _read(response: requests.Response) -> bytes:
    body = bytearray()
    # Decode in small pieces: a few kB of gzip can expand to gigabytes.
    for piece in response.raw.stream(PIECE, decode_content=True):
        body += piece
        if len(body) > BODY_LIMIT:
            raise TooLarge
    return bytes(body)
