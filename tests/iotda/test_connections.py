"""Connections: reuse, TLS, proxies and the environment."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from iotda_admin.inventory.connection_errors import explain_error
from iotda_admin.iotda import (
    AkSk,
    PasswordToken,
    ProxyFailed,
    Unreachable,
    sockets,
    transport,
)
from tests.iotda.wire import Wire
from tests.operations.deployment import until

from . import wire as w
from .conftest import HASTE
from .stopwatch import Stopwatch


def test_it_reuses_a_connection(wire: Wire, client: Any) -> None:
    for _ in range(5):
        client.list_devices()
    assert wire.connections == 1


def test_it_does_not_reuse_one_that_was_idle_too_long(
    wire: Wire, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sockets.IDLE_LIMIT_S == 15
    client.list_devices()
    client.list_devices()
    assert wire.connections == 1
    monkeypatch.setattr(sockets, "IDLE_LIMIT_S", 0.01)
    time.sleep(0.02)
    client.list_devices()
    assert wire.connections == 2


def test_it_does_not_reuse_one_that_the_server_closed(wire: Wire, client: Any) -> None:
    def once(sock: Any, request: Any) -> bool:
        w.reply({"devices": [], "page": {"count": 0}})(sock, request)
        return False

    wire.answer = once
    for _ in range(3):
        client.list_devices()
        until(wire.all_closed)
    assert wire.connections == 3


def test_a_late_response_is_not_used_for_the_next_call(
    wire: Wire, client_for: Callable[..., Any]
) -> None:
    too_late, answered = threading.Event(), threading.Event()

    def late(sock: Any, request: Any) -> None:
        too_late.wait(10)
        try:
            w.reply(b"", 204)(sock, request)
        finally:
            answered.set()

    wire.answer, client = late, client_for(wire.url, deadline=1)
    with pytest.raises(Unreachable):
        client.freeze_device("d1")
    wire.answer = w.reply({"devices": [], "page": {"count": 7}})
    too_late.set()
    assert answered.wait(10)
    assert client.list_devices().count == 7
    assert wire.connections == 2


def test_calls_are_limited_by_the_number_of_connections(
    wire: Wire, client_for: Callable[..., Any]
) -> None:
    def slow(sock: Any, request: Any) -> None:
        time.sleep(0.1)
        w.reply({"devices": [], "page": {"count": 0}})(sock, request)

    wire.answer = slow
    client = client_for(wire.url, pool_size=4, deadline=5)
    with Stopwatch() as watch, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.list_devices(), range(8)))
    assert watch.elapsed >= 0.2
    assert watch.seconds < 0.4
    assert wire.connections <= 4


def test_it_ignores_the_environment(
    wire: Wire,
    client_for: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login l password p\n")
    monkeypatch.setenv("NETRC", str(netrc))
    client_for(wire.url).list_devices()
    assert "authorization" not in wire.requests[0]["headers"]


def test_it_uses_the_given_proxy(wire: Wire, client_for: Callable[..., Any]) -> None:
    client_for("http://localhost:9", proxy=wire.url).list_devices()
    assert wire.requests[0]["target"].startswith("http://localhost:9/v5/iot/")


@pytest.mark.parametrize(
    "answer", [w.reply(b"no", 407), w.hang, w.drip(b"HTTP/1.1 2"), w.then_close()]
)
def test_a_proxy_without_a_tunnel_sends_nothing(
    wire: Wire, client_for: Callable[..., Any], answer: Any
) -> None:
    wire.answer = answer
    client = client_for("https://iotda.example", proxy=wire.url, deadline=HASTE)
    assert not in_time(lambda: client.freeze_device("d1")).maybe_applied
    assert wire.requests[0]["target"] == "iotda.example:443"
    assert "tok" not in wire.requests[0]["headers"].values()


@pytest.mark.parametrize("endpoint", ["https://iotda.example", "http://localhost:9"])
def test_a_proxy_that_asks_for_a_password_is_named(
    wire: Wire, client_for: Callable[..., Any], endpoint: str
) -> None:
    wire.answer = w.reply(b"<h1>Who are you?</h1>", 407)
    proxy = wire.url.replace("//", "//user:secret@")
    with pytest.raises(ProxyFailed) as caught:
        client_for(endpoint, proxy=proxy).freeze_device("d1")
    error = caught.value
    address = f"127.0.0.1:{wire.port}"
    words = f"the proxy {address} asks for a user name and password (HTTP 407)"
    assert (error.message, error.status) == (words, 407)
    assert (error.retryable, error.maybe_applied) == (True, False)


def test_a_proxy_that_refuses_the_tunnel_is_named(
    wire: Wire, client_for: Callable[..., Any]
) -> None:
    wire.answer = w.reply(b"no", 503)
    with pytest.raises(ProxyFailed, match=r"the proxy .* does not connect .*HTTP 503"):
        client_for("https://iotda.example", proxy=wire.url).list_devices()


@pytest.mark.parametrize("endpoint", ["https://iotda.example", "http://localhost:9"])
def test_a_proxy_that_cannot_be_reached_is_named(
    client_for: Callable[..., Any], endpoint: str
) -> None:
    with pytest.raises(ProxyFailed, match=r"the proxy 127.0.0.1:9 cannot be reached"):
        client_for(endpoint, proxy="http://127.0.0.1:9").list_devices()


def test_a_407_without_a_proxy_is_no_refusal_of_iotda(
    wire: Wire, client_for: Callable[..., Any]
) -> None:
    wire.answer = w.reply(b"", 407)
    with pytest.raises(ProxyFailed, match="a proxy asks for a user name"):
        client_for(wire.url).list_devices()


def test_it_keeps_no_cookies(wire: Wire, client: Any) -> None:
    wire.answer = w.reply(
        {"devices": [], "page": {"count": 0}}, 200, "Set-Cookie: a=b; Path=/"
    )
    client.list_devices()
    client.list_devices()
    assert "cookie" not in wire.requests[1]["headers"]


def test_a_client_with_the_derived_signature_needs_a_region(
    client_for: Callable[..., Any],
) -> None:
    with pytest.raises(ValueError, match="region"):
        client_for("https://host", AkSk("AK", "SK", signature="derived"))
    keys = AkSk("AK", "SK", signature="derived", region="cn-north-4")
    client_for("https://host", keys)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """A self-signed certificate for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=localhost"
    )
    alternative = [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(key),
        "-out",
        str(cert),
    ]
    subprocess.run([*command.split(), *alternative], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, str(cert)


@pytest.fixture
def tls_wire(certificate: tuple[Any, ...]) -> Iterator[Any]:
    server = w.Wire(tls=certificate[0])
    yield server
    server.close()


@pytest.fixture
def trusted(certificate: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new clients trust the certificate."""
    monkeypatch.setattr(transport, "DEFAULT_CA_BUNDLE_PATH", certificate[1])


def in_time(call: Any, deadline: Any = HASTE) -> Any:
    with Stopwatch() as watch, pytest.raises(Unreachable) as caught:
        call()
    assert watch.seconds <= 1.1 * deadline
    return caught.value


def test_a_trusted_certificate_is_accepted(
    tls_wire: Any, client_for: Callable[..., Any], trusted: None
) -> None:
    client = client_for(tls_wire.url)
    for _ in range(3):
        client.list_devices()
    assert tls_wire.connections == 1


def once(first: Callable[..., Any], *, then: Callable[..., Any]) -> Callable[..., Any]:
    """Return a handler that answers the first request with another one."""
    handlers = iter([first])
    return lambda sock, request: next(handlers, then)(sock, request)


@pytest.mark.parametrize("way", ["client", "token"])
def test_a_private_ca_is_trusted_in_addition(
    tls_wire: Any, client_for: Callable[..., Any], certificate: Any, way: str
) -> None:
    bundle, auth = certificate[1], None
    if way == "token":
        auth = PasswordToken(
            iam_endpoint=tls_wire.url,
            user="u",
            password="password-1",
            domain="d",
            project_id="p",
            ca_bundle=bundle,
        )
        token = w.reply({"token": {}}, 201, "X-Subject-Token: token-1")
        tls_wire.answer = once(token, then=tls_wire.answer)
    client_for(tls_wire.url, auth, ca_bundle=bundle).list_devices()
    assert len(tls_wire.requests) == (2 if way == "token" else 1)
    context = transport._tls_context(DEFAULT_CA_BUNDLE_PATH, bundle)
    assert len(context.get_ca_certs()) > 100


def test_nothing_is_sent_to_an_untrusted_host(
    tls_wire: Any, client_for: Callable[..., Any]
) -> None:
    error = in_time(lambda: client_for(tls_wire.url).freeze_device("d1"), 5)
    assert (error.message, error.maybe_applied) == ("no trusted TLS connection", False)
    assert not tls_wire.requests
    assert "set IOTDA_CA_BUNDLE to its file" in explain_error(error)


def test_nothing_is_sent_if_the_certificate_names_another_host(
    tls_wire: Any, client_for: Callable[..., Any], trusted: None
) -> None:
    url = tls_wire.url.replace("localhost", "127.0.0.1")
    error = in_time(lambda: client_for(url).freeze_device("d1"), 5)
    assert (error.message, error.maybe_applied) == ("no trusted TLS connection", False)


def test_a_silent_handshake_ends_in_time_and_sends_nothing(
    wire: Wire, client_for: Callable[..., Any]
) -> None:
    client = client_for(wire.url.replace("http:", "https:"), deadline=HASTE)
    wire.answer = w.hang
    error = in_time(lambda: client.freeze_device("d1"))
    assert not error.maybe_applied


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 2", w.head() + b"Content-Length: 100000\r\n\r\n"]
)
def test_a_dripped_response_over_tls_ends_in_time(
    tls_wire: Any,
    client_for: Callable[..., Any],
    trusted: None,
    start: Any,
) -> None:
    tls_wire.answer = w.drip(start, b" ")
    client = client_for(tls_wire.url, deadline=HASTE)
    assert in_time(lambda: client.freeze_device("d1")).maybe_applied


def test_a_truncated_response_over_tls_is_lost(
    tls_wire: Any, client_for: Callable[..., Any], trusted: None
) -> None:
    tls_wire.answer = w.then_close(b"HTTP/1.1 204 No Content\r\nX-Requ")
    client = client_for(tls_wire.url)
    assert in_time(lambda: client.freeze_device("d1"), 5).maybe_applied


def test_a_request_that_the_server_does_not_read_ends_in_time(
    client_for: Callable[..., Any],
) -> None:
    ids = [
        f"{number:0128d}" for number in range(30_000)
    ]  # 4 MB, more than the buffers on the way take
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client = client_for(f"http://127.0.0.1:{deaf.getsockname()[1]}", deadline=0.8)
        error = in_time(
            lambda: client.create_batch_task("t", "freezeDevices", ids), 0.8
        )
    assert error.maybe_applied
