"""From an HTTP response, or the lack of one, to a document or an IotdaError.

No exception of another library leaves the client.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from .documents import ERROR_KEYS, Build, Json, code_and_message, parse_document
from .errors import (
    ALL_BUSY,
    OUT_OF_TIME,
    UNTRUSTED,
    BadResponse,
    IotdaError,
    OutOfTime,
    ProxyFailed,
    Rejected,
    Throttled,
    Unauthorized,
    Unreachable,
)
from .sockets import Budget
from .transport import (
    BODY_LIMIT,
    NoFreeConnection,
    ProxyFailure,
    Response,
    TooLarge,
)

# Huawei documents these for the device side; assumed for the application side.
RATE_CODES = frozenset({"IOTDA.021101", "IOTDA.021102"})
# A 403 with "access token not valid" means the same as a 401.
TOKEN_CODES = frozenset({"IOTDA.000004"})
RETRY_AFTER_LIMIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to interpret the responses of an endpoint.

    name      the API's name of the call
    write     whether it changes something on the platform
    bodiless  whether its success is a 204 without a document, else any 2xx with one
    """

    name: str
    write: bool = False
    bodiless: bool = False


def wire_error(exc: Exception, endpoint: Endpoint, budget: Budget) -> IotdaError:
    """Return the error of a call without a usable response.

    maybe_applied depends on whether a byte of the request may have been sent.
    """
    if isinstance(exc, TooLarge):
        return BadResponse(
            f"the body is larger than {BODY_LIMIT} bytes",
            operation=endpoint.name,
            maybe_applied=endpoint.write,
        )
    if isinstance(exc, ProxyFailure):
        return ProxyFailed(
            str(exc), operation=endpoint.name, status=exc.status, retryable=True
        )
    if isinstance(exc, requests.RequestException):
        exc.request = exc.response = None  # they contain the token
    if budget.cut_short:
        return out_of_time(endpoint, budget)
    maybe = endpoint.write and budget.sent
    return Unreachable(
        _reason(exc, budget),
        operation=endpoint.name,
        maybe_applied=maybe,
        retryable=not maybe,
    )


def out_of_time(endpoint: Endpoint, budget: Budget) -> OutOfTime:
    maybe = endpoint.write and budget.sent
    return OutOfTime(
        OUT_OF_TIME,
        operation=endpoint.name,
        maybe_applied=maybe,
        retryable=not maybe,
    )


def _reason(exc: BaseException, budget: Budget) -> str:
    links = _links(exc)
    for cause, reason in _REASONS.items():
        if any(isinstance(link, cause) for link in links):
            return reason
    if budget.spent:
        return "no complete answer in time"
    if budget.sent:
        return "the connection was closed before a complete answer"
    return "connection failed"


_REASONS: dict[type[BaseException], str] = {
    NoFreeConnection: ALL_BUSY,
    NameResolutionError: "the host name is not known",
    NewConnectionError: "connection refused or no route",
    ConnectTimeoutError: "no connection in time",
    SSLError: UNTRUSTED,
    ReadTimeoutError: "no complete answer in time",
    TimeoutError: "no complete answer in time",
}


def _links(exc: BaseException) -> list[BaseException]:
    """Return the exception and those it wraps.

    urllib3 and requests wrap in three ways: `reason`, an argument, or the cause.
    """
    found = [exc]
    for link in found:
        wrapped = (getattr(link, "reason", None), *link.args, link.__cause__)
        inner = (each for each in wrapped if isinstance(each, BaseException))
        found.extend(each for each in inner if each not in found)
    return found


def _bad_response(
    endpoint: Endpoint, response: Response, message: str, **facts: Any
) -> BadResponse:
    """Return the error of an unusable response; a read is retryable by default."""
    facts.setdefault("retryable", not endpoint.write)
    return BadResponse(
        message,
        operation=endpoint.name,
        status=response.status,
        request_id=response.request_id,
        maybe_applied=endpoint.write,
        **facts,
    )


def _document_of(endpoint: Endpoint, response: Response) -> Json:
    """Return the response's document, {} for none where that is allowed."""
    if response.status >= 400:
        raise _refusal(endpoint, response)
    if response.status not in ([204] if endpoint.bodiless else range(200, 300)):
        redirect = 300 <= response.status < 400
        what = "a redirect, never followed" if redirect else "not a documented status"
        message = f"HTTP {response.status} is {what}"
        raise _bad_response(endpoint, response, message, retryable=False)
    if endpoint.bodiless:
        return {}
    document, problem = parse_document(response.body)
    if problem:
        raise _bad_response(endpoint, response, problem)
    if not ERROR_KEYS.isdisjoint(document):
        code, message = code_and_message(document)
        message = message or "an error under a success status"
        raise _bad_response(endpoint, response, message, code=code)
    return document


def build_from[T](endpoint: Endpoint, response: Response, build: Build[T]) -> T:
    """Build an object from the response's document; raise Rejected or BadResponse.

    A ValueError of `build` is a document without a required field.
    """
    document = _document_of(endpoint, response)
    try:
        return build(document)
    except ValueError as exc:
        raise _bad_response(endpoint, response, str(exc)) from exc


def _refusal(endpoint: Endpoint, response: Response) -> Rejected:
    document, _ = parse_document(response.body)
    code, message = code_and_message(document)
    retry_after = _retry_after(response)
    unavailable = response.status == 503 and retry_after is not None
    lost = False
    if response.status == 429 or code in RATE_CODES or unavailable:
        kind: type[Rejected] = Throttled
    elif response.status == 401 or code in TOKEN_CODES:
        kind = Unauthorized
    else:
        kind, lost = Rejected, response.status >= 500
    return kind(
        message or f"HTTP status {response.status}",
        operation=endpoint.name,
        code=code,
        status=response.status,
        request_id=response.request_id or str(document.get("request_id", "")),
        retryable=kind is Throttled or (lost and not endpoint.write),
        maybe_applied=lost and endpoint.write,
        retry_after=retry_after,
        clock_skew_s=_clock_skew(response),
    )


def is_unauthorized(endpoint: Endpoint, response: Response) -> bool:
    """Return whether the response refuses the credentials."""
    return response.status in (401, 403) and isinstance(
        _refusal(endpoint, response), Unauthorized
    )


def _date(value: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(value or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _retry_after(response: Response) -> float | None:
    """Return the seconds of Retry-After: a number, or a date minus the Date header."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), RETRY_AFTER_LIMIT_S)
    at = _date(value)
    if at is None:
        return None
    now = _date(response.headers.get("Date")) or datetime.now(UTC)
    return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_LIMIT_S)


def _clock_skew(response: Response) -> float | None:
    theirs = _date(response.headers.get("Date"))
    return (datetime.now(UTC) - theirs).total_seconds() if theirs else None
