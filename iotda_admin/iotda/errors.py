"""What can go wrong when IoTDA is asked something.

::

    IotdaError
    ├── Unreachable      no usable HTTP answer: refused, DNS, TLS, deadline, reset
    ├── BadResponse        an HTTP answer that is neither a documented success nor a refusal
    └── Rejected         an HTTP error status
        ├── Throttled    asked to slow down; not executed
        └── Unauthorized credentials refused, after the one renewal where there is one

Callers decide by the facts, not by the class::

    except IotdaError as exc:
        if exc.maybe_applied:   # a write; look before doing anything else
            ...
        elif exc.retryable:     # certainly not applied (or a read), and asking again can help
            sleep(exc.retry_after or pause)
"""

import unicodedata

MESSAGE_LIMIT = 512
CODE_LIMIT = 64
REQUEST_ID_LIMIT = 128


class InvalidId(ValueError):
    """An id that may not go into a URL or a request; raised before any I/O."""


def one_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """`text` fit for a log line: one line, no control or invisible characters, at most `limit` long."""
    # Cut first, so that a megabyte of message does not cost a megabyte of work.
    kept = (
        " " if char.isspace() else char
        for char in text[: limit * 4]
        if char.isspace() or unicodedata.category(char)[0] != "C"
    )
    return " ".join("".join(kept).split())[:limit]


class IotdaError(Exception):
    """The base of all errors of a call.

    retryable      asking again can help, and is safe as far as we can know; never true with maybe_applied
    maybe_applied  the request was a write and IoTDA may have executed it; always False for a read
    operation      the API's name of what was asked, e.g. ``BindDevicePolicy``
    code           IoTDA's, the gateway's or IAM's error code, "" when there was none
    message        what they said (or what we saw), one line, at most 512 characters
    status         the HTTP status, None without an answer
    request_id     the X-Request-Id header, "" without one; Huawei's support asks for it
    retry_after    seconds the platform asks to wait (capped at an hour), None when it did not say
    clock_skew_s   our clock minus the platform's in seconds, on a refused credential, else None
    """

    def __init__(
        self,
        message: str = "",
        *,
        operation: str = "",
        code: str = "",
        status: int | None = None,
        request_id: str = "",
        retryable: bool = False,
        maybe_applied: bool = False,
        retry_after: float | None = None,
        clock_skew_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = one_line(message)
        self.operation = operation
        self.code = one_line(code, CODE_LIMIT)
        self.status = status
        self.request_id = one_line(request_id, REQUEST_ID_LIMIT)
        self.retryable = retryable and not maybe_applied
        self.maybe_applied = maybe_applied
        self.retry_after = retry_after
        self.clock_skew_s = clock_skew_s

    @property
    def not_found(self) -> bool:
        """IoTDA itself says that it has no such object; a gateway's 404 does not count."""
        return self.status == 404 and self.code.startswith("IOTDA.")

    def __str__(self) -> str:
        """For logs and the audit: one line, no headers, no secrets."""
        parts = [
            self.operation or "IoTDA",
            self.code or (str(self.status) if self.status else ""),
            self.message,
        ]
        line = ": ".join(part for part in parts if part)
        return f"{line} (request {self.request_id})" if self.request_id else line

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class Unreachable(IotdaError):
    """No usable HTTP answer. Before the first byte was sent: maybe_applied is False, for writes too."""


class BadResponse(IotdaError):
    """A success status whose body cannot be used, a redirect, or an error body under a success status."""


class Rejected(IotdaError):
    """An HTTP error status. A 5xx on a write has maybe_applied set: the gateway may have lost the answer."""


class Throttled(Rejected):
    """429, 403 with a rate code, or 503 with Retry-After: not executed, ask again later.

    Without a status it was the client's rate limiter that sent nothing; the message says why.
    """


class Unauthorized(Rejected):
    """IoTDA or IAM refuses our credentials; not executed. `clock_skew_s` beyond 900 explains a refused
    signature."""
