"""Tokens of an IAM user (Identity and Access Management), by name and password."""

import copy
import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from time import monotonic
from typing import Unpack

from requests import PreparedRequest, Request
from requests.auth import AuthBase

from . import responses
from .arguments import checked_endpoint, checked_header
from .auth import TOKEN_HEADER
from .documents import Json, get_text, get_value
from .errors import IotdaError, Rejected, Unreachable
from .sockets import current_budget, time_budget
from .transport import WIRE_ERRORS, Connecting, Transport

# Renew a token (valid for 24 hours) this long before its end, or after three quarters
# of a shorter life.
RENEW_BEFORE = timedelta(minutes=30)
# IAM locks a user after repeated wrong passwords: do not send a refused one again for
# this long.
REFUSAL_HOLD_S = 30.0

# Not a write, although a POST: an extra token does no harm.
CREATE_TOKEN = responses.Endpoint("CreateToken")


@dataclass(frozen=True, slots=True, repr=False)
class _Token:
    value: str
    renew_at: datetime


class PasswordToken(AuthBase):
    """An IAM user's token for a project, fetched on demand and kept until its end.

    iam_endpoint  https://iam.{region}.myhuaweicloud.com
    user, domain  the names of the IAM user and of its account, not a HUAWEI ID
    project_id    the scope
    connect_timeout, deadline, proxy, ca_bundle  as for `Client`

    Safe to share between threads: one thread fetches a token, and all that wait get it
    or its error. IAM's time counts against the deadline of the call that needs the
    token. A wrong name or password raises Unauthorized; other errors are those of any
    call. `maybe_applied` is never set, because the call itself was not sent.
    `expires_at` has Keystone's format; if it is unreadable, 24 hours are assumed.
    """

    def __init__(
        self,
        *,
        iam_endpoint: str,
        user: str,
        password: str,
        domain: str,
        project_id: str,
        deadline: float = 10.0,
        **connecting: Unpack[Connecting],
    ) -> None:
        url = f"{checked_endpoint(iam_endpoint)}/v3/auth/tokens?nocatalog=true"
        person = {"name": user, "password": password, "domain": {"name": domain}}
        login = {
            "identity": {"methods": ["password"], "password": {"user": person}},
            "scope": {"project": {"id": project_id}},
        }
        headers = {"Accept-Encoding": "gzip", "User-Agent": "iotda-admin"}
        self._request = Request("POST", url, headers=headers, json={"auth": login})
        self._deadline = deadline
        self._transport = Transport(
            pool_size=1,
            secrets=(password, json.dumps(password)[1:-1]),
            **connecting,
        )
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._error: IotdaError | None = None
        self._error_until = 0.0

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers[TOKEN_HEADER] = self._token_other_than("").value
        return request

    def renew(self, refused: PreparedRequest) -> None:
        """Get another token than that of `refused` for the next request.

        Raises IotdaError if that fails.
        """
        self._token_other_than(str(refused.headers.get(TOKEN_HEADER, "")))

    def _token_other_than(self, refused: str) -> _Token:
        """Return a token; one thread fetches it while the others wait for the lock."""
        started = monotonic()
        budget = current_budget()
        if not self._lock.acquire(timeout=max(0.0, budget.ends - started)):
            if budget.cut_short:
                raise responses.out_of_time(CREATE_TOKEN, budget)
            name = CREATE_TOKEN.name
            raise Unreachable("no token in time", operation=name, retryable=True)
        try:
            token = self._token
            if token and token.value != refused and datetime.now(UTC) < token.renew_at:
                return token
            if self._error and started < self._error_until:
                # A copy per thread: they would share one traceback otherwise.
                raise copy.copy(self._error) from self._error
            return self._fetch()
        finally:
            self._lock.release()

    def _fetch(self) -> _Token:
        """Fetch a token; keep an error for the threads that wait, a refusal longer."""
        try:
            self._token = self._request_token()
        except IotdaError as exc:
            self._error, self._error_until = exc, monotonic()
            if isinstance(exc, Rejected) and not exc.retryable:
                self._error_until += REFUSAL_HOLD_S
            raise
        return self._token

    def _request_token(self) -> _Token:
        call = current_budget()
        with time_budget(self._deadline) as budget:
            budget.slack = inf  # the call may end this one; what ends the call counts
            try:
                response = self._transport.send(self._request)
            except WIRE_ERRORS as exc:
                if call.cut_short:
                    raise responses.out_of_time(CREATE_TOKEN, call) from exc
                raise responses.wire_error(exc, CREATE_TOKEN, budget) from exc

        def build(document: Json) -> _Token:
            name = "X-Subject-Token"
            value = checked_header(response.headers.get(name, ""), name)
            expires_at = get_text(get_value(document, "token", dict), "expires_at")
            return _Token(value, _renew_at(expires_at))

        return responses.build_from(CREATE_TOKEN, response, build)

    def close(self) -> None:
        """Close the connections to IAM."""
        self._transport.close()


def _renew_at(expires_at: str) -> datetime:
    now = datetime.now(UTC)
    try:
        expires = datetime.fromisoformat(expires_at)
        expires = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
        return max(expires - RENEW_BEFORE, now + (expires - now) * 3 / 4)
    except (ValueError, OverflowError):
        return now + timedelta(hours=24) * 3 / 4
