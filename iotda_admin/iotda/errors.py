"""The errors of a call.

::

    IotdaError
    ├── Unreachable      no usable HTTP response: refused, DNS, TLS, deadline, reset
    │   └── ProxyFailed  the proxy did not forward the request
    ├── OutOfTime        the caller's time for several calls is over
    ├── BadResponse      an HTTP response, neither a documented success nor a refusal
    └── Rejected         an HTTP error status
        ├── Throttled    asked to slow down; not executed
        └── Unauthorized credentials refused, after the one renewal where there is one

Decide by the facts, not by the class::

    except IotdaError as exc:
        if exc.maybe_applied:   # a write: read the state back before anything else
            ...
        elif exc.retryable:     # a read, or a write that was not applied
            sleep(exc.retry_after or pause)
"""

import unicodedata
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

MESSAGE_LIMIT = 512
CODE_LIMIT = 64
REQUEST_ID_LIMIT = 128


class UnsafeId(ValueError):
    """An id that may not go into a URL or a request; raised before any I/O."""


def one_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return `text` fit for a log line, at most `limit` characters.

    It has no line breaks, no control and no invisible characters.
    """
    # Cut first: a megabyte of message must not cost a megabyte of work.
    kept = [
        char
        for char in text[: limit * 4]
        if char.isspace() or unicodedata.category(char)[0] != "C"
    ]
    return " ".join("".join(kept).split())[:limit]


# The message of an Unreachable whose certificate is not trusted, and of one that was
# not sent because other calls had all connections.
UNTRUSTED = "no trusted TLS connection"
ALL_BUSY = "all connections are busy"
OUT_OF_TIME = "The time for these calls was over before its answer."


@dataclass(eq=False)
class IotdaError(Exception):
    """The base of all errors of a call.

    retryable      a retry can help and is safe; never true with maybe_applied
    maybe_applied  IoTDA may have executed the write; always False for a read
    operation      the API's name of the call, e.g. ``BindDevicePolicy``
    code           the error code of IoTDA, its gateway or IAM, "" without one
    message        their message, or what we observed; one line, at most 512 characters
    status         the HTTP status, None without a response
    request_id     the X-Request-Id header, "" without one; Huawei's support needs it
    retry_after    seconds that IoTDA asks to wait (at most 3600), None if it did not
    clock_skew_s   our clock minus the platform's in seconds, None if it gave no time
    """

    busy: ClassVar[bool] = False  # a limit of ours ended the call, so it says little

    message: str = ""
    _: KW_ONLY
    operation: str = ""
    code: str = ""
    status: int | None = None
    request_id: str = ""
    retryable: bool = False
    maybe_applied: bool = False
    retry_after: float | None = None
    clock_skew_s: float | None = None

    def __post_init__(self) -> None:
        self.message = one_line(self.message)
        self.code = one_line(self.code, CODE_LIMIT)
        self.request_id = one_line(self.request_id, REQUEST_ID_LIMIT)
        self.retryable = self.retryable and not self.maybe_applied

    @property
    def not_found(self) -> bool:
        """IoTDA itself says that the object does not exist.

        A gateway's 404 does not count: it says nothing about a device or a policy.
        """
        return self.status == 404 and self.code.startswith("IOTDA.")

    def __str__(self) -> str:
        """Return one line for logs and the audit trail: no headers, no secrets."""
        code = self.code or str(self.status or "")
        parts = (self.operation or "IoTDA", code, self.message)
        line = ": ".join(filter(None, parts))
        return f"{line} (request {self.request_id})" if self.request_id else line


class Unreachable(IotdaError):
    """No usable HTTP response.

    maybe_applied is False, for a write too, if no byte of the request was sent.
    """


class ProxyFailed(Unreachable):
    """The proxy cannot be reached or refuses the request; 407: it needs a login."""


class OutOfTime(IotdaError):
    """The `time_budget` of several calls ended before the deadline of this one.

    Says nothing about IoTDA: it may have had little time, or no request.
    """

    busy = True


class BadResponse(IotdaError):
    """A success status with an unusable or an error body, or a redirect."""


class Rejected(IotdaError):
    """An HTTP error status.

    A 5xx on a write sets maybe_applied: the gateway may have lost the response.
    """


class Throttled(Rejected):
    """429, a rate code, or 503 with Retry-After. Not executed: retry later.

    Without a status, the client's rate limiter raised it and nothing was sent. Huawei
    documents the rate codes for the device side only; assumed here too.
    """


class Unauthorized(Rejected):
    """IoTDA or IAM refused the credentials. Not executed.

    A `clock_skew_s` beyond 900 explains a refused signature.
    """
