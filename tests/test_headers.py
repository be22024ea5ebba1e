"""The headers of every response: pages, files, errors, redirects."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLResolver, get_resolver
from pytest_django import Settings

from iotda_admin.core.logging import Json, Text
from tests.conftest import make_user

POLICY = {
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
    "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
}  # fmt: skip
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def lacking(answer: Any) -> Any:
    """Return the required headers that a response lacks."""
    if answer.streaming:
        answer.getvalue()  # closes the file
    wrong = [
        name for name, value in ALWAYS.items() if answer.headers.get(name) != value
    ]
    policy = set(answer.headers.get("Content-Security-Policy", "").split("; "))
    wrong += [] if policy == POLICY else ["Content-Security-Policy"]
    wrong += (
        []
        if "camera=()" in answer.headers.get("Permissions-Policy", "")
        else ["Permissions-Policy"]
    )
    wrong += (
        [] if len(answer.headers.get("X-Request-Id", "")) == 16 else ["X-Request-Id"]
    )
    return wrong + [
        name for name in ("Server", "X-Powered-By") if name in answer.headers
    ]


def paths(resolver: Any, before: str = "/") -> Iterator[Any]:
    """Yield the path of every URL, Django's too, with 1 for each parameter."""
    for entry in resolver.url_patterns:
        path = re.sub(r"<[^>]*>", "1", f"{before}{entry.pattern}")
        if isinstance(entry, URLResolver):
            yield from paths(entry, path)
        elif "(" not in path:
            yield path


MORE = ["/static/app.js", "/static/nothing.js", "/nowhere", "/admin", "/%0d%0a"]


def test_every_response_has_the_headers(admin: Client, settings: Settings) -> None:
    settings.WHITENOISE_USE_FINDERS = True
    User.objects.update(is_staff=True, is_superuser=True)
    addresses = [*paths(get_resolver()), *MORE]
    assert {
        "/devices/1/freeze/",
        "/audit/export.csv",
        "/admin/auth/user/add/",
        "/healthz",
    } <= set(addresses)
    visitors = [
        (who, method)
        for who in (Client(), admin)
        for method in ("get", "post", "options")
    ]
    wrong = {
        f"{method} {path}": lacking(getattr(who, method)(path))
        for who, method in visitors
        for path in addresses
    }
    assert {path: names for path, names in wrong.items() if names} == {}


def test_error_responses_have_the_headers(
    viewer: Client,
    policyadmin: Client,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strict = Client(enforce_csrf_checks=True)
    settings.WHITENOISE_USE_FINDERS = True
    file = Client().get("/static/app.js")
    file.getvalue()  # closes the file
    pasted = {"pasted": "x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE}
    fault = Client(raise_request_exception=False)
    fault.force_login(User.objects.get(username="viewer"))
    monkeypatch.setattr("iotda_admin.overview.bars", lambda counts: 1 / 0)
    answers = {
        400: viewer.get("/", headers={"Host": "evil.example"}),
        403: strict.post("/accounts/login/"),
        413: policyadmin.post("/policies/selection.bind/", pasted),
        304: Client().get(
            "/static/app.js", headers={"If-Modified-Since": file["Last-Modified"]}
        ),
        500: fault.get("/"),
    }
    assert {status: answer.status_code for status, answer in answers.items()} == {
        n: n for n in answers
    }
    assert {
        status: lacking(answer) for status, answer in answers.items() if lacking(answer)
    } == {}


def test_https_adds_headers(anonymous: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 31536000
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    answer = Client().get("/accounts/login/", secure=True)
    assert answer["Strict-Transport-Security"].startswith(
        "max-age=31536000; includeSubDomains"
    )
    away = Client().get("/accounts/login/")
    assert (away.status_code, away["Location"]) == (
        301,
        "https://testserver/accounts/login/",
    )
    assert lacking(away) == lacking(answer) == []
    assert Client().get("/healthz").status_code == 200


def test_cookies_are_httponly_and_samesite(anonymous: Client) -> None:
    make_user("viewer")
    anonymous.post(
        "/accounts/login/", {"username": "viewer", "password": "a-password-1"}
    )
    anonymous.get("/")
    assert set(anonymous.cookies) == {"iotda_admin_session", "iotda_admin_csrf"}
    assert all(
        cookie["httponly"] and cookie["samesite"] == "Lax"
        for cookie in anonymous.cookies.values()
    )


def test_a_missing_page_does_not_invalidate_the_login_form(anonymous: Client) -> None:
    """A browser without a cookie requests /favicon.ico beside the form."""
    for path in ("/favicon.ico", "/nowhere", "/audit/export.csv"):
        anonymous.get(path)
    assert not anonymous.cookies


def test_only_a_declared_proxy_sets_the_request_id(
    anonymous: Client, settings: Settings
) -> None:
    given = {"X-Request-Id": "proxy-17"}
    assert anonymous.get("/healthz", headers=given)["X-Request-Id"] != "proxy-17"
    settings.BEHIND_PROXY = True
    assert anonymous.get("/healthz", headers=given)["X-Request-Id"] == "proxy-17"
    for wrong in ("a b", "a" * 65, "a\nb", "<b>", "a\n"):
        assert (
            anonymous.get("/healthz", headers={"X-Request-Id": wrong})["X-Request-Id"]
            != wrong
        )


def test_a_request_is_logged_on_one_line_without_its_query(
    viewer: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "iotda_admin.core.middleware")
    viewer.get("/devices/%0d%0a%1b[31mx/?q=canary-query")
    line = Text().format(caplog.records[-1])
    event = json.loads(Json().format(caplog.records[-1]))
    assert r"GET /devices/\r\n\x1b[31mx/ 404" in line
    assert len(line.splitlines()) == 1
    assert "canary-query" not in line
    assert (event["method"], event["status"]) == ("GET", 404)
    assert event["user"] == User.objects.get().pk


NASTY = "a\r\nb\x1b[2Jc\x00d\u2028e\u202ef\x85g"


def test_logged_text_cannot_break_out_of_its_line() -> None:
    try:
        raise ValueError(NASTY)
    except ValueError:
        record = logging.LogRecord(
            "x", 40, __file__, 1, "said %s", (NASTY,), sys.exc_info()
        )
    first, *trace = Text().format(record).split("\n")
    assert first.endswith(r"said a\r\nb\x1b[2Jc\x00d\u2028e\u202ef\x85g")
    assert all(line.startswith("  | ") for line in trace)
    assert {sign for line in trace for sign in line if not sign.isprintable()} == set()
    assert Json().format(record).isascii()
    assert len(Json().format(record).splitlines()) == 1
