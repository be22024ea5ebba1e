"""What each method of the client does: sign, send, renew once, check, build, report."""

import logging
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Protocol, Self, Unpack
from urllib.parse import urlsplit

from requests import Request
from requests.auth import AuthBase

from . import responses
from .arguments import checked, checked_endpoint, checked_header
from .auth import AkSk
from .documents import Build, Json, Skip
from .errors import IotdaError, Throttled
from .iam import PasswordToken
from .listing import ListingPage, PageQuery
from .responses import Endpoint
from .sockets import Budget, time_budget
from .transport import WIRE_ERRORS, Connecting, Response, Transport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What an observer gets after each method call."""

    operation: str
    status: int | None  # HTTP; None without a response
    seconds: float  # the whole call, with the rate limiter's wait and a token's renewal
    error: IotdaError | None = None  # what the method raises


class RateLimiter(Protocol):
    """Limits the rate of requests to IoTDA; requests to IAM bypass it."""

    def acquire(self, operation: str) -> None:
        """Run before each request, in its thread.

        It may wait, or raise an IotdaError so that nothing is sent.
        """

    def throttled(self, operation: str, retry_after: float | None) -> None:
        """Run after IoTDA has throttled a request. Must not raise."""


class BaseClient:
    """The client without its endpoints. `Client` documents the arguments."""

    def __init__(
        self,
        *,
        endpoint: str,
        project_id: str,
        auth: AuthBase,
        instance_id: str = "",
        deadline: float = 20.0,
        pool_size: int = 16,
        observer: Callable[[CallRecord], None] | None = None,
        rate_limiter: RateLimiter | None = None,
        **connecting: Unpack[Connecting],
    ) -> None:
        endpoint = checked_endpoint(endpoint)
        self._base = f"{endpoint}/v5/iot/{checked(project_id, 'project id')}"
        if isinstance(auth, AkSk):
            # Raise for a missing region now rather than at each call.
            auth.region_for(urlsplit(endpoint).hostname or "")
        self._auth = auth
        self._headers = {
            "Accept-Encoding": "gzip",
            "Content-Type": "application/json",
            "User-Agent": "iotda-admin",
            "X-Project-Id": project_id,
        }
        if instance_id:
            self._headers["Instance-Id"] = checked_header(instance_id, "instance id")
        self._deadline = deadline
        self._observer = observer
        self._rate_limiter = rate_limiter
        self._check: Callable[[bool], None] = lambda _write: None
        self._skip: Skip | None = None
        self._transport = Transport(pool_size=pool_size, **connecting)

    def checking(self, check: Callable[[bool], None]) -> Self:
        """Return this client with `check` before each request, on the same connections.

        `check` runs after the rate limiter and gets whether the request changes
        something. The IotdaError that it raises replaces the request.
        """
        other = copy(self)
        other._check = check
        return other

    def skipping(self, skip: Skip) -> Self:
        """Return this client without an error for rows of lists that cannot be read.

        `skip` gets what is wrong, and the row, possibly in several threads and more
        than once. Such a list proves nothing about the rows that it lacks.
        """
        other = copy(self)
        other._skip = skip
        return other

    def limited_by(self, rate_limiter: RateLimiter) -> Self:
        """Return this client with another rate limiter, on the same connections."""
        other = copy(self)
        other._rate_limiter = rate_limiter
        return other

    def observed_by(self, observer: Callable[[CallRecord], None]) -> Self:
        """Return this client with another observer, on the same connections."""
        other = copy(self)
        other._observer = observer
        return other

    def close(self) -> None:
        """Close the connections. Calls in progress may fail; `auth` stays open."""
        self._transport.close()

    def _page[T](
        self,
        name: str,
        path: str,
        page: PageQuery,
        key: str,
        row: Build[T],
        **filters: str,
    ) -> ListingPage[T]:
        build = partial(ListingPage.from_json, key, row, page.limit, skip=self._skip)
        query = page.to_json() | filters
        return self._call(Endpoint(name), "GET", path, build, query=query)[0]

    def _acknowledged(self, name: str, method: str, path: str) -> Response:
        endpoint = Endpoint(name, write=True, bodiless=True)
        return self._call(endpoint, method, path, lambda doc: None)[1]

    def _call[T](
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        build: Build[T],
        *,
        query: Mapping[str, int | str] | None = None,
        body: Json | None = None,
    ) -> tuple[T, Response]:
        request = Request(
            method,
            self._base + path,
            headers=self._headers,
            params=query,
            json=body,
            auth=self._auth,
        )
        started = monotonic()
        try:
            response = self._send(endpoint, request)
            built = responses.build_from(endpoint, response, build)
        except IotdaError as exc:
            self._report_throttling(endpoint, exc)
            self._observe(endpoint, exc.status, started, exc)
            raise
        self._observe(endpoint, response.status, started)
        return built, response

    def _send(self, endpoint: Endpoint, request: Request) -> Response:
        """Send a request; repeat it once if credentials are refused and renewable.

        A request with refused credentials was not executed, so the repeat is safe for
        a write too. It passes the rate limiter again: when a token ends, all threads
        repeat at once.
        """
        with time_budget(self._deadline) as budget:
            response = self._exchange(endpoint, request, budget)
            refused = responses.is_unauthorized(endpoint, response)
            if refused and isinstance(self._auth, PasswordToken):
                budget.sent = False
                self._auth.renew(response.request)
                response = self._exchange(endpoint, request, budget)
            return response

    def _exchange(
        self, endpoint: Endpoint, request: Request, budget: Budget
    ) -> Response:
        if budget.cut_short:
            raise responses.out_of_time(endpoint, budget)
        started = monotonic()
        if self._rate_limiter:
            self._rate_limiter.acquire(endpoint.name)
        budget.extend(monotonic() - started)  # the deadline does not count this wait
        self._check(endpoint.write)
        try:
            return self._transport.send(request)
        except WIRE_ERRORS as exc:
            raise responses.wire_error(exc, endpoint, budget) from exc

    def _report_throttling(self, endpoint: Endpoint, error: IotdaError) -> None:
        # The rate limiter's own error has no status; IAM's has another operation.
        if (
            self._rate_limiter
            and isinstance(error, Throttled)
            and error.status is not None
            and error.operation == endpoint.name
        ):
            self._rate_limiter.throttled(endpoint.name, error.retry_after)

    def _observe(
        self,
        endpoint: Endpoint,
        status: int | None,
        started: float,
        error: IotdaError | None = None,
    ) -> None:
        if not self._observer:
            return
        record = CallRecord(endpoint.name, status, monotonic() - started, error)
        try:
            self._observer(record)
        except Exception:  # it must not turn a successful write into an error
            log.exception("the observer failed after %s", endpoint.name)
