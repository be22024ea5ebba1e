"""Tokens: one renewal for all threads, one repeat, no repeated wrong password."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from iotda_admin.iotda import (
    PasswordToken,
    StaticToken,
    Throttled,
    Unauthorized,
    Unreachable,
    iam,
)
from tests.iotda.wire import Wire

from . import wire as w
from .stopwatch import Stopwatch

REFUSED = {"error_code": "IOTDA.000002", "error_msg": "authentication failed"}
EMPTY = w.reply({"devices": [], "page": {"count": 0}})


class Cloud:
    """IAM and IoTDA on one port; only the newest token is valid."""

    def __init__(self, wire: Any) -> None:
        self.wire, self.issued = wire, 0
        self.valid: str | None = None
        self.lives = timedelta(hours=24)
        self.login = self.issue
        self.answer = EMPTY
        self.refuse = w.reply(REFUSED, 401)
        wire.answer = self.serve

    def serve(self, sock: Any, request: Any) -> Any:
        if request["target"].startswith("/v3/auth/tokens"):
            return self.login(sock, request)
        good = request["headers"].get("x-auth-token") == self.valid
        return (self.answer if good else self.refuse)(sock, request)

    def issue(self, sock: Any, request: Any) -> None:
        self.issued += 1
        self.valid = f"token-{self.issued}"
        time.sleep(0.02)
        expires = (datetime.now(UTC) + self.lives).isoformat().replace("+00:00", "Z")
        body = {"token": {"expires_at": expires, "catalog": [{"type": "x"}]}}
        w.reply(body, 201, f"X-Subject-Token: {self.valid}")(sock, request)

    def expire(self) -> None:
        self.valid = "nothing"

    def logins(self) -> list[Any]:
        return [r for r in self.wire.requests if r["target"].startswith("/v3")]


@pytest.fixture
def cloud(wire: Wire) -> Cloud:
    return Cloud(wire)


@pytest.fixture
def auth(wire: Wire) -> PasswordToken:
    return PasswordToken(
        iam_endpoint=wire.url,
        user="u",
        password="pass-word",
        domain="d",
        project_id="r",
    )


@pytest.fixture
def client(wire: Wire, client_for: Callable[..., Any], auth: PasswordToken) -> Any:
    return client_for(wire.url, auth, pool_size=16, deadline=5)


def in_threads(count: Any, call: Any) -> Any:
    start = threading.Barrier(count)

    def one(_: Any) -> Any:
        start.wait()
        try:
            return call()
        except Exception as exc:
            return exc

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_the_login_request_is_as_iam_documents(cloud: Cloud, client: Any) -> None:
    client.list_devices()
    (login,) = cloud.logins()
    assert login["target"] == "/v3/auth/tokens?nocatalog=true"
    auth = json.loads(login["body"])["auth"]
    assert auth["identity"]["password"]["user"] == {
        "name": "u",
        "password": "pass-word",
        "domain": {"name": "d"},
    }
    assert auth["scope"] == {"project": {"id": "r"}}


def test_a_token_is_reused(cloud: Cloud, client: Any) -> None:
    for _ in range(3):
        client.list_devices()
    assert cloud.issued == 1


@pytest.mark.parametrize("warm", [False, True])
def test_sixteen_threads_cause_one_login(cloud: Cloud, client: Any, warm: bool) -> None:
    if warm:
        client.list_devices()
        cloud.expire()
    results = in_threads(16, client.list_devices)
    assert [r.items for r in results] == [()] * 16
    assert cloud.issued == 1 + warm


def test_a_write_refused_for_its_token_is_repeated_once(
    cloud: Cloud, client: Any
) -> None:
    client.list_devices()
    cloud.expire()
    cloud.answer = w.reply(b"", 204)
    assert client.freeze_device("d1").status == 204
    freezes = [
        r["headers"]["x-auth-token"]
        for r in cloud.wire.requests
        if r["target"].endswith("/freeze")
    ]
    assert freezes == ["token-1", "token-2"]


def test_a_403_about_the_token_renews_it(cloud: Cloud, client: Any) -> None:
    client.list_devices()
    cloud.expire()
    cloud.refuse = w.reply(
        {"error_code": "IOTDA.000004", "error_msg": "token not valid"}, 403
    )
    client.list_devices()
    assert cloud.issued == 2


def test_a_second_refusal_is_raised(cloud: Cloud, client: Any) -> None:
    cloud.answer = cloud.refuse
    with pytest.raises(Unauthorized) as caught:
        client.freeze_device("d1")
    assert (caught.value.operation, caught.value.maybe_applied) == (
        "FreezeDevice",
        False,
    )
    assert (cloud.issued, len(cloud.wire.requests)) == (2, 4)


class Later(datetime):
    """The time of day, shifted into the future."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + cls.ahead


@pytest.mark.parametrize(("lives", "renewed"), [(60, 45), (24 * 60, 24 * 60 - 30)])
def test_a_token_is_renewed_before_its_end(
    cloud: Cloud, client: Any, monkeypatch: pytest.MonkeyPatch, lives: int, renewed: Any
) -> None:
    monkeypatch.setattr(iam, "datetime", Later)
    cloud.lives = timedelta(minutes=lives)
    client.list_devices()
    monkeypatch.setattr(Later, "ahead", timedelta(minutes=renewed - 5))
    client.list_devices()
    assert cloud.issued == 1
    monkeypatch.setattr(Later, "ahead", timedelta(minutes=renewed + 1))
    client.list_devices()
    sent = [
        r["headers"]["x-auth-token"]
        for r in cloud.wire.requests
        if "devices" in r["target"]
    ]
    assert sent == ["token-1", "token-1", "token-2"]


def test_a_wrong_password_is_sent_once(cloud: Cloud, client: Any) -> None:
    cloud.login = w.reply(
        {"error": {"code": 401, "message": "wrong password", "title": "Unauthorized"}},
        401,
    )
    results = in_threads(16, lambda: client.freeze_device("d1"))
    assert {type(r) for r in results} == {Unauthorized}
    assert {(r.operation, r.code, r.message, r.maybe_applied) for r in results} == {
        ("CreateToken", "401", "wrong password", False)
    }
    with pytest.raises(Unauthorized):
        client.list_devices()
    assert len(cloud.logins()) == 1
    assert len({id(r) for r in results}) == 16


def test_a_throttled_login_can_be_repeated_at_once(cloud: Cloud, client: Any) -> None:
    cloud.login = w.reply(REFUSED, 429)
    with pytest.raises(Throttled):
        client.list_devices()
    cloud.login = cloud.issue
    assert client.list_devices().items == ()


@pytest.mark.parametrize("login", [w.hang, w.drip(w.head(201) + b"\r\n", b" ")])
def test_a_silent_iam_counts_against_the_deadline(
    cloud: Cloud, client_for: Callable[..., Any], auth: PasswordToken, login: Any
) -> None:
    cloud.login = login
    client = client_for(cloud.wire.url, auth, deadline=1.0)
    with Stopwatch() as watch:
        results = in_threads(4, lambda: client.freeze_device("d1"))
    assert watch.seconds <= 1.1 * 1.0
    assert {(type(r), r.maybe_applied, r.retryable) for r in results} == {
        (Unreachable, False, True)
    }


def test_a_renewal_and_the_repeat_share_one_deadline(
    cloud: Cloud, client_for: Callable[..., Any], auth: PasswordToken
) -> None:
    def slow(answer: Any) -> Callable[..., Any]:
        return lambda sock, request: time.sleep(0.5) or answer(sock, request)

    client = client_for(cloud.wire.url, auth, deadline=3)
    client.list_devices()
    cloud.expire()
    cloud.refuse, cloud.login, cloud.answer = (
        slow(cloud.refuse),
        slow(cloud.issue),
        w.hang,
    )
    with Stopwatch() as watch, pytest.raises(Unreachable) as caught:
        client.freeze_device("d1")
    assert watch.seconds <= 1.1 * 3
    assert caught.value.maybe_applied


def test_a_repeat_that_cannot_be_sent_was_not_applied(
    cloud: Cloud, client: Any
) -> None:
    def last_login(sock: Any, request: Any) -> None:
        cloud.wire.deafen()
        cloud.issue(sock, request)

    client.list_devices()
    cloud.expire()
    cloud.refuse, cloud.login = w.reply(REFUSED, 401, "Connection: close"), last_login
    with pytest.raises(Unreachable) as caught:
        client.freeze_device("d1")
    assert (caught.value.message, caught.value.maybe_applied) == (
        "connection refused or no route",
        False,
    )


@pytest.mark.parametrize(
    "answer", [w.reply({"token": {}}, 201), w.reply(b"<html>", 200)]
)
def test_a_login_without_a_token_raises(cloud: Cloud, client: Any, answer: Any) -> None:
    cloud.login = answer
    with pytest.raises(Exception, match="CreateToken") as caught:
        client.freeze_device("d1")
    error: Any = caught.value
    assert not error.maybe_applied


def test_a_static_token_is_not_renewed(
    wire: Wire, client_for: Callable[..., Any]
) -> None:
    wire.answer = w.reply(REFUSED, 401)
    with pytest.raises(Unauthorized):
        client_for(wire.url).list_devices()
    assert len(wire.requests) == 1
    assert wire.requests[0]["headers"]["x-auth-token"] == "tok"


def test_a_refusal_reports_the_clock_skew(
    wire: Wire, client_for: Callable[..., Any]
) -> None:
    theirs = format_datetime(datetime.now(UTC) - timedelta(minutes=20), usegmt=True)
    wire.answer = w.reply(REFUSED, 401, f"Date: {theirs}")
    with pytest.raises(Unauthorized) as caught:
        client_for(wire.url).list_devices()
    assert caught.value.clock_skew_s == pytest.approx(1200, abs=2)


def test_credentials_hide_their_secrets(auth: PasswordToken) -> None:
    assert "pass-word" not in repr(auth)
    assert "tok" not in repr(StaticToken("tok")).replace("StaticToken", "")


@pytest.mark.parametrize("token", ["", "a\r\nX-Evil: 1", "é"])
def test_a_token_that_no_header_can_carry_raises(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        StaticToken(token)
