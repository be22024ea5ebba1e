"""What every method of the client does: sign, send, renew once, check, build, tell the observer."""

import logging
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from time import monotonic
from typing import Protocol, Self
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from . import answers
from . import deadline as deadlines
from .answers import Endpoint
from .auth import AkSk, Renewable, header_safe
from .errors import IotdaError, Throttled
from .fields import Json
from .ids import checked
from .listing import ListingPage, PageQuery
from .models import Ack
from .signing import canonical_query
from .transport import WIRE_ERRORS, RawResponse, TooLarge, Transport, checked_endpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What an observer is told after each method call."""

    operation: str
    status: int | None  # None without an HTTP answer
    code: str  # "" on success
    request_id: str
    seconds: float  # the whole call, with the wait at the gate and a token's renewal where there was one


type Observer = Callable[[CallRecord], None]


class RateLimiter(Protocol):
    """Lets requests to IoTDA out at a pace; those to IAM do not pass it."""

    def acquire(self, operation: str) -> None:
        """Called before each request, in its thread: may wait, or raise an IotdaError to send nothing."""

    def throttled(self, operation: str, retry_after: float | None) -> None:
        """IoTDA has asked to slow down. Must not raise."""


class Caller:
    """The client without its endpoints; `Client` documents the arguments."""

    def __init__(
        self,
        *,
        endpoint: str,
        project_id: str,
        auth: AuthBase,
        instance_id: str = "",
        region: str = "",
        connect_timeout: float = 5.0,
        deadline: float = 20.0,
        pool_size: int = 16,
        proxy: str = "",
        ca_bundle: str = "",
        allow_http: bool = False,
        observer: Observer | None = None,
        rate_limiter: RateLimiter | None = None,
    ) -> None:
        endpoint = checked_endpoint(endpoint, allow_http)
        self._base = f"{endpoint}/v5/iot/{checked(project_id, 'project id')}"
        if isinstance(auth, AkSk):
            auth = auth.with_region(region)
            auth.region_for(
                urlsplit(endpoint).hostname or ""
            )  # complain now rather than at each call
        self._auth = auth
        self._headers = {
            "Accept-Encoding": "gzip",
            "Content-Type": "application/json",
            "User-Agent": "iotda-admin",
            "X-Project-Id": project_id,
        }
        if instance_id:
            self._headers["Instance-Id"] = header_safe(instance_id, "the instance id")
        self._deadline = deadline
        self._observer = observer
        self._rate_limiter = rate_limiter
        self._check: Callable[[], None] = lambda: None
        self._transport = Transport(
            connect_timeout=connect_timeout,
            pool_size=pool_size,
            proxy=proxy,
            ca_bundle=ca_bundle,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def checking(self, check: Callable[[], None]) -> Self:
        """The same client, its connections too, that calls `check` before each request to IoTDA, once the
        gate has let it out. What that raises, an IotdaError, leaves instead of the request."""
        other = copy(self)
        other._check = check
        return other

    def close(self) -> None:
        """Close the connections. Calls under way may fail; the auth object is not touched."""
        self._transport.close()

    def _read[T](
        self,
        name: str,
        method: str,
        path: str,
        build: Callable[[Json], T],
        *,
        query: Mapping[str, object] | None = None,
        body: Json | None = None,
    ) -> T:
        return self._call(Endpoint(name), method, path, build, query=query, body=body)[
            0
        ]

    def _page[T](
        self,
        name: str,
        path: str,
        page: PageQuery,
        filters: Mapping[str, object],
        key: str,
        row: Callable[[Json], T],
    ) -> ListingPage[T]:
        def build(doc: Json) -> ListingPage[T]:
            return ListingPage.from_json(doc, key, row, page.limit)

        return self._read(name, "GET", path, build, query={**filters, **page.to_json()})

    def _acknowledged(self, operation: Endpoint, method: str, path: str) -> Ack:
        _, answer = self._call(operation, method, path, lambda doc: None)
        return Ack(answer.status, answer.request_id)

    def _call[T](
        self,
        operation: Endpoint,
        method: str,
        path: str,
        build: Callable[[Json], T],
        *,
        query: Mapping[str, object] | None = None,
        body: Json | None = None,
    ) -> tuple[T, RawResponse]:
        url = self._base + path
        # None and "" mean "not asked for" throughout the API.
        pairs = [
            (key, str(value))
            for key, value in (query or {}).items()
            if value not in (None, "")
        ]
        if pairs:
            url = f"{url}?{canonical_query(pairs)}"
        request = requests.Request(
            method, url, headers=self._headers, json=body, auth=self._auth
        )
        started = monotonic()
        try:
            answer = self._renewing(operation, request)
            built = answers.read(operation, answer, build)
        except IotdaError as exc:
            self._slow_down(operation, exc)
            self._tell(operation, exc.status, exc.code, exc.request_id, started)
            raise
        self._tell(operation, answer.status, "", answer.request_id, started)
        return built, answer

    def _renewing(self, operation: Endpoint, request: requests.Request) -> RawResponse:
        """The exchange; once more with other credentials if these are refused and can be renewed.

        A request refused for its credentials was not executed, so repeating it is safe for writes too. The
        repeat passes the gate again: after a token's end all threads repeat at once.
        """
        with deadlines.budget(self._deadline) as budget:
            prepared, answer = self._exchange(operation, request, budget)
            if isinstance(self._auth, Renewable) and answers.is_unauthorized(
                operation, answer
            ):
                budget.sent = False
                self._auth.renew(prepared)
                _, answer = self._exchange(operation, request, budget)
            return answer

    def _exchange(
        self, operation: Endpoint, request: requests.Request, budget: deadlines.Budget
    ) -> tuple[requests.PreparedRequest, RawResponse]:
        self._enter(operation, budget)
        try:
            prepared = self._transport.prepare(request)
            return prepared, self._transport.send(prepared)
        except TooLarge as exc:
            raise answers.too_large(operation) from exc
        except WIRE_ERRORS as exc:
            raise answers.wire_error(exc, operation, budget) from exc

    def _enter(self, operation: Endpoint, budget: deadlines.Budget) -> None:
        """Wait at the gate with the clock stopped: the deadline is for IoTDA, not for our own pace."""
        came = monotonic()
        if self._rate_limiter is not None:
            self._rate_limiter.acquire(operation.name)
        budget.ends += monotonic() - came
        self._check()

    def _slow_down(self, operation: Endpoint, error: IotdaError) -> None:
        # The gate's own refusal has no status, and IAM's has another operation.
        if (
            self._rate_limiter is not None
            and isinstance(error, Throttled)
            and error.status is not None
            and error.operation == operation.name
        ):
            self._rate_limiter.throttled(operation.name, error.retry_after)

    def _tell(
        self,
        operation: Endpoint,
        status: int | None,
        code: str,
        request_id: str,
        started: float,
    ) -> None:
        if self._observer is None:
            return
        try:
            self._observer(
                CallRecord(
                    operation.name, status, code, request_id, monotonic() - started
                )
            )
        except (
            Exception
        ):  # an observer must not turn a write that succeeded into an error
            log.exception("the observer failed after %s", operation.name)
