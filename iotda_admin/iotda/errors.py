"""What can go wrong when IoTDA is asked something.

::

    IotdaError
    ├── Unreachable      no usable HTTP answer: refused, DNS, TLS, deadline, reset
    ├── BadAnswer        an HTTP answer that is neither a documented success nor a refusal
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

    @property
    def user_message(self) -> str:
        """A sentence for the person who asked; ends with what is known about their change."""
        return f"{self._says()} {_MAYBE}" if self.maybe_applied else self._says()

    def _says(self) -> str:
        return "IoTDA could not do this."


_MAYBE = "The change may or may not have been made; check before trying again."


class Unreachable(IotdaError):
    """No usable HTTP answer. Before the first byte was sent: maybe_applied is False, for writes too."""

    def _says(self) -> str:
        if self.maybe_applied or self.retryable:
            return f"IoTDA gave no answer: {self.message}."
        return f"IoTDA could not be reached: {self.message}."


class BadAnswer(IotdaError):
    """A success status whose body cannot be used, a redirect, or an error body under a success status."""

    def _says(self) -> str:
        return f"IoTDA's answer could not be understood: {self.message}."


class Rejected(IotdaError):
    """An HTTP error status. A 5xx on a write has maybe_applied set: the gateway may have lost the answer."""

    def _says(self) -> str:
        said = self.message or f"HTTP status {self.status}"
        what = "failed" if (self.status or 0) >= 500 else "refused"
        return (
            f"IoTDA {what}: {said} ({self.code})."
            if self.code
            else f"IoTDA {what}: {said}."
        )


class Throttled(Rejected):
    """429, 403 with a rate code, or 503 with Retry-After: not executed, ask again later.

    Without a status it was the client's gate that let nothing out, and the message says why.
    """

    def _says(self) -> str:
        if self.status is None:
            return self.message
        return "IoTDA is receiving too many requests and asked us to slow down."


class Unauthorized(Rejected):
    """IoTDA or IAM refuses our credentials; not executed. `clock_skew_s` beyond 900 explains a refused
    signature."""

    def _says(self) -> str:
        return "IoTDA does not accept this application's credentials."
