"""One HTTP exchange: bytes out, bytes in, within a deadline and a size."""

import ipaddress
import ssl
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import HTTPError
from urllib3.util.ssl_ import create_urllib3_context

from . import deadline
from .sockets import TimedHTTPPool, TimedHTTPSPool, TimedTLS

BODY_LIMIT = (
    8 * 1024 * 1024
)  # bytes after decompression; a page of 50 devices is about 30 kB
PIECE = 64 * 1024
SECRET_HEADERS = ("Authorization", "X-Auth-Token", "X-Security-Token")

WIRE_ERRORS = (requests.RequestException, HTTPError, HTTPException, OSError)


class TooLarge(Exception):
    """The body went over BODY_LIMIT; what was read is gone."""


class NoSlot(TimeoutError):
    """All connections were busy until the deadline."""


@dataclass(frozen=True, slots=True)
class RawResponse:
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)  # may hold device secrets

    @property
    def request_id(self) -> str:
        return self.headers.get("X-Request-Id", "")


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Never follow: requests would send the body and X-Auth-Token to the other host."""


@cache
def _tls_context(ca_bundle: str) -> ssl.SSLContext:
    """One for all: parsing the bundle takes about 20 ms."""
    context = create_urllib3_context()
    context.sslsocket_class = TimedTLS
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca_bundle)
    return context


class _Adapter(HTTPAdapter):
    """urllib3's pools with our connections in them."""

    def __init__(self, pool_size: int, ca_bundle: str) -> None:
        self._tls = _tls_context(ca_bundle or DEFAULT_CA_BUNDLE_PATH)
        super().__init__(pool_maxsize=pool_size, max_retries=0, pool_block=True)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        _use_our_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._tls, **kwargs)
        _use_our_pools(manager)
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The context holds the CAs already; requests would parse the bundle again for each connection."""
        conn.cert_reqs = "CERT_REQUIRED"


def _use_our_pools(manager: Any) -> None:
    manager.pool_classes_by_scheme = {"http": TimedHTTPPool, "https": TimedHTTPSPool}


def checked_endpoint(endpoint: str, allow_http: bool = False) -> str:
    """`endpoint` without a trailing slash; ValueError unless https, or http to this machine (or allowed)."""
    parts = urlsplit(endpoint)
    if (
        not parts.hostname
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise ValueError(
            f"an endpoint is a scheme and a host, like https://host, not {endpoint!r}"
        )
    if parts.scheme != "https" and not (
        parts.scheme == "http" and (allow_http or _is_loopback(parts.hostname))
    ):
        raise ValueError(f"credentials are sent over https only, not to {endpoint!r}")
    return f"{parts.scheme}://{parts.netloc}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Transport:
    """A pool of connections. Safe to share between threads; make it after forking, not before."""

    def __init__(
        self,
        *,
        connect_timeout: float,
        pool_size: int,
        proxy: str = "",
        ca_bundle: str = "",
        secrets: Collection[str] = (),
    ) -> None:
        self._secrets = secrets
        self._connect_timeout = connect_timeout
        # The pool blocks without a time limit when it is empty, so nobody may come to it without a slot.
        self._slots = threading.BoundedSemaphore(pool_size)
        self._session = _Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.proxies = {"http": proxy, "https": proxy} if proxy else {}
        adapter = _Adapter(pool_size, ca_bundle)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def prepare(self, request: requests.Request) -> requests.PreparedRequest:
        """Encode and sign; may ask IAM for a token."""
        return self._session.prepare_request(request)

    def send(self, request: requests.PreparedRequest) -> RawResponse:
        """One exchange within the current budget. Raises one of WIRE_ERRORS, or TooLarge."""
        budget = deadline.current()
        if budget is None:
            raise RuntimeError("send needs a deadline.budget around it")
        if not self._slots.acquire(timeout=budget.left()):
            raise NoSlot("all connections are busy")
        try:
            return self._exchange(request, budget)
        finally:
            self._slots.release()

    def _exchange(
        self, request: requests.PreparedRequest, budget: deadline.Budget
    ) -> RawResponse:
        response = self._session.send(
            request,
            stream=True,
            timeout=(self._connect_timeout, budget.left()),
            allow_redirects=False,
        )
        with response:
            body = self._masked(_read(response), request)
        return RawResponse(response.status_code, response.headers, body)

    def _masked(self, body: bytes, request: requests.PreparedRequest) -> bytes:
        """A gateway may repeat what it was sent: its words are stored and shown, our credentials never."""
        sent = [request.headers.get(name, "") for name in SECRET_HEADERS]
        for secret in filter(None, [*sent, *self._secrets]):
            raw = secret.encode() if isinstance(secret, str) else secret
            if raw in body:
                body = body.replace(raw, b"***")
        return body

    def close(self) -> None:
        self._session.close()


def _read(response: requests.Response) -> bytes:
    body = bytearray()
    # Small decoded pieces: a few kB of gzip may stand for gigabytes.
    for piece in response.raw.stream(PIECE, decode_content=True):
        body += piece
        if len(body) > BODY_LIMIT:
            raise TooLarge
    return bytes(body)
