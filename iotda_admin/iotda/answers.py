"""From an HTTP answer, or the lack of one, to a document or an error. All foreign exceptions end here."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from .deadline import Budget
from .documents import ERROR_KEYS, code_and_message, parse
from .errors import BadResponse, Rejected, Throttled, Unauthorized, Unreachable
from .fields import Json, Malformed
from .transport import BODY_LIMIT, NoSlot, RawResponse

RATE_CODES = frozenset(
    {"IOTDA.021101", "IOTDA.021102"}
)  # documented for the device side; assumed here too
TOKEN_CODES = frozenset(
    {"IOTDA.000004"}
)  # 403 "access token not valid": the same to us as a 401
RETRY_AFTER_CAP_S = 3600.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is asked. `done`: the statuses that mean success. `bodiless`: they may come without a document."""

    name: str
    write: bool = False
    done: Collection[int] = range(200, 300)
    bodiless: bool = False


def wire_error(exc: Exception, operation: Endpoint, budget: Budget) -> Unreachable:
    """No usable answer. What counts is whether the request may have left before it failed."""
    if isinstance(exc, requests.RequestException):
        exc.request = exc.response = None  # they hold the token
    maybe = operation.write and budget.sent
    return Unreachable(
        _reason(exc, budget),
        operation=operation.name,
        maybe_applied=maybe,
        retryable=not maybe,
    )


def _reason(exc: BaseException, budget: Budget) -> str:
    kinds = [type(link) for link in _links(exc)]
    for kinds_of_error, reason in _REASONS:
        if any(issubclass(kind, kinds_of_error) for kind in kinds):
            return reason
    if budget.spent:
        return "no complete answer in time"
    return (
        "the connection was closed before a complete answer"
        if budget.sent
        else "connection failed"
    )


_REASONS: tuple[
    tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...
] = (
    (NoSlot, "all connections are busy"),
    (ProxyError, "the proxy cannot be used"),
    (NameResolutionError, "the host name is not known"),
    (NewConnectionError, "connection refused or no route"),
    (ConnectTimeoutError, "no connection in time"),
    (SSLError, "no trusted TLS connection"),
    ((ReadTimeoutError, TimeoutError), "no complete answer in time"),
)


def _links(exc: BaseException) -> list[BaseException]:
    """The exception and those it wraps, the ways urllib3 and requests wrap: reason, argument or cause."""
    found: list[BaseException] = []
    link: BaseException | None = exc
    while link is not None and link not in found:
        found.append(link)
        wrapped = (getattr(link, "reason", None), *link.args, link.__cause__)
        link = next(
            (inner for inner in wrapped if isinstance(inner, BaseException)), None
        )
    return found


def too_large(operation: Endpoint) -> BadResponse:
    return BadResponse(
        f"the body is larger than {BODY_LIMIT} bytes",
        operation=operation.name,
        maybe_applied=operation.write,
    )


def bad_answer(
    operation: Endpoint, answer: RawResponse, message: str, **facts: Any
) -> BadResponse:
    facts.setdefault("retryable", not operation.write)
    return BadResponse(
        message,
        operation=operation.name,
        status=answer.status,
        request_id=answer.request_id,
        maybe_applied=operation.write,
        **facts,
    )


def check(operation: Endpoint, answer: RawResponse) -> Json:
    """The answer's document ({} for an empty one where the operation allows that), or an error."""
    if answer.status >= 400:
        raise _refusal(operation, answer)
    if answer.status not in operation.done:
        redirect = 300 <= answer.status < 400
        what = (
            "a redirect, which is never followed"
            if redirect
            else "not the documented status"
        )
        raise bad_answer(
            operation, answer, f"HTTP {answer.status} is {what}", retryable=False
        )
    if operation.bodiless and not answer.body:
        return {}
    document, problem = parse(answer.body)
    if problem:
        raise bad_answer(operation, answer, problem)
    if not ERROR_KEYS.isdisjoint(document):
        code, message = code_and_message(document)
        raise bad_answer(
            operation, answer, message or "an error under a success status", code=code
        )
    return document


def read[T](operation: Endpoint, answer: RawResponse, build: Callable[[Json], T]) -> T:
    """`build` applied to the answer's document; a document without what it must have is a BadResponse."""
    document = check(operation, answer)
    try:
        return build(document)
    except Malformed as exc:
        raise bad_answer(operation, answer, str(exc)) from exc


def _refusal(operation: Endpoint, answer: RawResponse) -> Rejected:
    document, _ = parse(answer.body)
    code, message = code_and_message(document)
    retry_after = _retry_after(answer)
    facts: dict[str, Any] = {
        "operation": operation.name,
        "code": code,
        "status": answer.status,
        "request_id": answer.request_id or str(document.get("request_id", "")),
        "retry_after": retry_after,
    }
    message = message or f"HTTP status {answer.status}"
    if (
        answer.status == 429
        or code in RATE_CODES
        or (answer.status == 503 and retry_after is not None)
    ):
        return Throttled(message, retryable=True, **facts)
    if answer.status == 401 or code in TOKEN_CODES:
        return Unauthorized(message, clock_skew_s=_clock_skew(answer), **facts)
    lost = answer.status >= 500
    return Rejected(
        message,
        retryable=lost and not operation.write,
        maybe_applied=lost and operation.write,
        **facts,
    )


def is_unauthorized(operation: Endpoint, answer: RawResponse) -> bool:
    return answer.status in (401, 403) and isinstance(
        _refusal(operation, answer), Unauthorized
    )


def _date(value: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(value or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _retry_after(answer: RawResponse) -> float | None:
    """Seconds, from a number or an HTTP date (counted from the answer's own Date)."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), RETRY_AFTER_CAP_S)
    at = _date(value)
    if at is None:
        return None
    now = _date(answer.headers.get("Date")) or datetime.now(UTC)
    return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_CAP_S)


def _clock_skew(answer: RawResponse) -> float | None:
    theirs = _date(answer.headers.get("Date"))
    return (datetime.now(UTC) - theirs).total_seconds() if theirs else None
