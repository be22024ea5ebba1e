"""Tokens from IAM (Identity and Access Management) for a name and a password."""

import copy
import json
import threading
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from time import monotonic

import requests
from requests.auth import AuthBase

from . import answers, deadline
from .auth import TOKEN_HEADER, header_safe
from .errors import IotdaError, Rejected, Throttled, Unreachable
from .fields import Json, Malformed, section, text
from .transport import WIRE_ERRORS, TooLarge, Transport, checked_endpoint

# A token lives 24 hours. Renewed this long before its end, or at three quarters of a shorter life.
RENEW_BEFORE = timedelta(minutes=30)
# IAM locks a user after repeated wrong passwords, so a refused one is not offered again for this long.
REFUSAL_HOLD_S = 30.0

# A write only in HTTP's sense: a token too many does no harm.
CREATE_TOKEN = answers.Endpoint("CreateToken")


class _Token:
    __slots__ = ("renew_at", "value")

    def __init__(self, value: str, renew_at: datetime) -> None:
        self.value = value
        self.renew_at = renew_at


class PasswordToken(AuthBase):
    """An IAM user's token, scoped to a project, fetched when needed and kept for its life.

    iam_endpoint  https://iam.{region}.myhuaweicloud.com
    user, domain  the IAM user's name and its account's name; a HUAWEI ID cannot log in here
    project_id or project_name  the scope; a project's name is its region's, like cn-north-4

    Safe to share between threads: however many need a token, one asks IAM and all get its answer or its
    error. The time IAM takes counts against the deadline of the call that needs the token. Errors:
    Unauthorized for a wrong name or password, otherwise as any call; `maybe_applied` is never set, since
    the call itself was not sent. Expiry layout (`expires_at`) is Keystone's; without a readable one, 24
    hours are assumed.
    """

    def __init__(
        self,
        *,
        iam_endpoint: str,
        user: str,
        password: str,
        domain: str,
        project_id: str = "",
        project_name: str = "",
        connect_timeout: float = 5.0,
        deadline: float = 10.0,
        proxy: str = "",
        ca_bundle: str = "",
        allow_http: bool = False,
    ) -> None:
        if not (project_id or project_name):
            raise ValueError(
                "a token for IoTDA is scoped to a project: give its id or its name"
            )
        self._url = f"{checked_endpoint(iam_endpoint, allow_http)}/v3/auth/tokens?nocatalog=true"
        person = {"name": user, "password": password, "domain": {"name": domain}}
        project = {"id": project_id} if project_id else {"name": project_name}
        self._body: Json = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": person}},
                "scope": {"project": project},
            }
        }
        self._who = f"{domain}/{user}"
        self._deadline = deadline
        self._transport = Transport(
            connect_timeout=connect_timeout,
            pool_size=1,
            proxy=proxy,
            ca_bundle=ca_bundle,
            secrets=(password, json.dumps(password)[1:-1]),
        )
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._flight: Future[_Token] | None = None
        self._refused: tuple[float, IotdaError] | None = None

    def __repr__(self) -> str:
        return f"PasswordToken({self._who}, …)"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[TOKEN_HEADER] = self._current(but_not="").value
        return request

    def renew(self, refused: requests.PreparedRequest) -> None:
        """See that the next request has another token than `refused` had."""
        self._current(but_not=str(refused.headers.get(TOKEN_HEADER, "")))

    def _current(self, but_not: str) -> _Token:
        with self._lock:
            token = self._token
            if token and token.value != but_not and datetime.now(UTC) < token.renew_at:
                return token
            flight, leading = self._flight, self._flight is None
            if flight is None:
                flight = self._flight = Future()
        if leading:
            self._lead(flight)
        return self._landed(flight)

    def _lead(self, flight: Future[_Token]) -> None:
        """Ask IAM on behalf of all who wait for this flight."""
        try:
            token = self._fetch()
        except BaseException as exc:
            with self._lock:
                self._flight = None
            if not isinstance(exc, IotdaError):  # a signal, or a bug: ours alone
                flight.set_exception(_no_token("the login was interrupted"))
                raise
            flight.set_exception(exc)
        else:
            with self._lock:
                self._token, self._flight = token, None
            flight.set_result(token)

    def _landed(self, flight: Future[_Token]) -> _Token:
        budget = deadline.current()
        try:
            return flight.result(timeout=budget.left() if budget else self._deadline)
        except IotdaError as exc:
            raise copy.copy(
                exc
            ) from exc  # each thread its own, or their tracebacks would grow into each other
        except TimeoutError as exc:
            raise _no_token("no token in time") from exc

    def _fetch(self) -> _Token:
        if self._refused and monotonic() < self._refused[0]:
            raise copy.copy(self._refused[1])
        try:
            return self._ask()
        except Throttled:
            raise
        except Rejected as exc:
            if exc.status is not None and exc.status < 500:
                self._refused = (monotonic() + REFUSAL_HOLD_S, exc)
            raise

    def _ask(self) -> _Token:
        with deadline.budget(self._deadline) as budget:
            try:
                answer = self._transport.send(
                    self._transport.prepare(
                        requests.Request("POST", self._url, json=self._body)
                    )
                )
            except WIRE_ERRORS as exc:
                raise answers.wire_error(exc, CREATE_TOKEN, budget) from exc
            except TooLarge as exc:
                raise answers.too_large(CREATE_TOKEN) from exc
        value = answer.headers.get("X-Subject-Token", "")

        def build(document: Json) -> _Token:
            try:
                header_safe(value, "X-Subject-Token")
            except ValueError as exc:
                raise Malformed(str(exc)) from exc
            return _Token(
                value, _renew_at(text(section(document, "token"), "expires_at"))
            )

        return answers.read(CREATE_TOKEN, answer, build)

    def close(self) -> None:
        self._transport.close()


def _no_token(reason: str) -> Unreachable:
    return Unreachable(reason, operation=CREATE_TOKEN.name, retryable=True)


def _renew_at(expires_at: str) -> datetime:
    now = datetime.now(UTC)
    try:
        expires = datetime.fromisoformat(expires_at)
        expires = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
    except ValueError:
        expires = now + timedelta(hours=24)
    return max(expires - RENEW_BEFORE, now + (expires - now) * 3 / 4)
