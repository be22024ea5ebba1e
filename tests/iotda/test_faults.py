"""Faults on the wire: the right error and facts, within time and memory limits."""

import random
import socket
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from iotda_admin.iotda import (
    BadResponse,
    Rejected,
    Throttled,
    Unauthorized,
    Unreachable,
)
from tests.iotda.wire import Wire

from . import wire as w
from .conftest import HASTE
from .stopwatch import Stopwatch

POLICY = "66b0c0ffee00112233445566"
DEEP = b"[" * 100_000
ERROR = {"error_code": "IOTDA.014000", "error_msg": "no such device"}

CALLS = {
    "read": lambda client: client.list_devices(),
    "post_read": lambda client: client.show_targets_in_device_policy(POLICY),
    "bind": lambda client: client.bind_device_policy(POLICY, "device", ["d1"]),
    "freeze": lambda client: client.freeze_device("d1"),
}

LOST = {  # no usable response, although the request was sent
    "hang": w.hang,
    "drip_status": w.drip(b"HTTP/1.1 2"),
    "drip_headers": w.drip(b"HTTP/1.1 200 OK\r\nX-A: "),
    "drip_100": w.drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "drip_body": w.drip(w.head() + b"Content-Length: 100000\r\n\r\n", b" "),
    "drip_body_until_close": w.drip(w.head() + b"\r\n", b" "),
    "drip_chunks": w.drip(
        w.head(200, "Transfer-Encoding: chunked") + b"\r\n", b"1\r\n \r\n"
    ),
    "reset": w.reset,
    "close": w.then_close(),
    "close_in_headers": w.then_close(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "not_http": w.then_close(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "truncated": w.then_close(w.head() + b'Content-Length: 1000\r\n\r\n{"devices": ['),
    "truncated_chunk": w.then_close(
        w.head(200, "Transfer-Encoding: chunked") + b"\r\nff\r\n{"
    ),
    "not_gzip": w.reply(b"plain", 200, "Content-Encoding: gzip"),
}

UNUSABLE = {  # a response that proves nothing
    "truncated_without_length": w.then_close(w.head() + b'\r\n{"devices": ['),
    "html": w.reply(b"<html>proxy</html>"),
    "empty": w.reply(b""),
    "no_content": w.reply(b"", 205),
    "deep": w.reply(DEEP),
    "deep_objects": w.reply(b'{"a":' * 100_000),
    "duplicate_key": w.reply(b'{"devices": [], "devices": [], "page": {"count": 0}}'),
    "nan": w.reply(b'{"devices": [], "targets": [], "page": {"count": 0}, "x": NaN}'),
    "array": w.reply([]),
    "text": w.reply(b'"ok"'),
    "not_utf8": w.reply(b'{"devices": "\xff"}'),
    "error_body": w.reply(ERROR),
    "nested_error_body": w.reply({"error": {"code": 500, "message": "x"}}),
    "redirect": w.reply(b"", 302, "Location: http://127.0.0.1:9/"),
    "not_modified": w.reply(b"", 304),
}


def failure(client: Any, call: Any, deadline: float = 5) -> Any:
    """Return the error of a call; assert that it comes within 1.1 deadlines."""
    with (
        Stopwatch() as watch,
        pytest.raises((Unreachable, BadResponse, Rejected)) as caught,
    ):
        CALLS[call](client)
    assert watch.seconds <= 1.1 * deadline
    return caught.value


@pytest.mark.parametrize("call", ["read", "bind"])
@pytest.mark.parametrize("fault", LOST)
def test_a_lost_response_raises_unreachable(
    wire: Wire, hasty: Any, fault: str, call: str
) -> None:
    wire.answer = LOST[fault]
    error = failure(hasty, call, HASTE)
    assert type(error) is Unreachable
    assert (error.maybe_applied, error.retryable) == (call != "read", call == "read")
    assert len(wire.requests) == 1


def test_a_success_without_a_body_needs_all_its_headers(
    wire: Wire, client: Any
) -> None:
    wire.answer = w.then_close(b"HTTP/1.1 204 No Content\r\nX-Requ")
    error = failure(client, "freeze")
    assert (type(error), error.maybe_applied) == (Unreachable, True)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", UNUSABLE)
def test_an_unusable_response_raises_bad_response(
    wire: Wire, client: Any, fault: str, call: str
) -> None:
    wire.answer = UNUSABLE[fault]
    error = failure(client, call)
    assert type(error) is BadResponse
    assert error.maybe_applied is (call in ("bind", "freeze"))
    assert len(wire.requests) == 1


def test_an_error_under_a_success_status_keeps_its_code(
    wire: Wire, client: Any
) -> None:
    wire.answer = w.reply({"devices": [], "page": {"count": 0}, **ERROR})
    error = failure(client, "read")
    assert (type(error), error.status, error.code) == (BadResponse, 200, "IOTDA.014000")


@pytest.mark.parametrize("call", ["read", "bind"])
@pytest.mark.parametrize("fault", ["huge", "bomb"])
def test_it_stops_reading_at_the_body_limit(
    wire: Wire, client: Any, fault: str, call: str
) -> None:
    wire.answer = w.huge(wire) if fault == "huge" else w.bomb()
    tracemalloc.start()
    error = failure(client, call)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert type(error) is BadResponse
    assert error.maybe_applied is (call == "bind")
    assert peak < 32e6
    assert wire.sent < 24e6


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_that_is_not_read_to_its_end_leaves_its_connection(
    wire: Wire, client: Any, encoding: str
) -> None:
    """Without it the pool is empty after some, and the next call hangs."""
    wire.answer = w.long(wire, encoding)
    for _ in range(40):
        failure(client, "read")
    wire.answer = w.reply({"devices": [], "page": {"count": 0}})
    assert not client.list_devices().items


@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_redirect_is_not_followed(wire: Wire, client: Any, status: int) -> None:
    other = w.Wire()
    wire.answer = w.reply(b"x" * 100, status, f"Location: {other.url}/v5/elsewhere")
    error = failure(client, "bind")
    assert (error.status, error.retryable, error.maybe_applied) == (status, False, True)
    assert other.connections == 0
    other.close()


@pytest.mark.parametrize("call", ["read", "bind"])
@pytest.mark.parametrize(
    ("status", "kind", "lost"),
    [
        (400, Rejected, False),
        (401, Unauthorized, False),
        (403, Rejected, False),
        (404, Rejected, False),
        (409, Rejected, False),
        (429, Throttled, False),
        (500, Rejected, True),
        (502, Rejected, True),
        (503, Rejected, True),
        (504, Rejected, True),
    ],
)
def test_each_status_has_its_error_and_facts(
    wire: Wire, client: Any, status: int, kind: Any, lost: bool, call: str
) -> None:
    wire.answer = w.reply(ERROR, status)
    error = failure(client, call)
    assert type(error) is kind
    assert error.maybe_applied is (lost and call == "bind")
    assert error.retryable is (kind is Throttled or (lost and call == "read"))
    assert (error.status, error.code, error.request_id) == (
        status,
        "IOTDA.014000",
        "req-1",
    )


@pytest.mark.parametrize("code", ["IOTDA.021101", "IOTDA.021102"])
def test_the_rate_codes_raise_throttled(wire: Wire, client: Any, code: str) -> None:
    wire.answer = w.reply({"error_code": code, "error_msg": "slow down"}, 403)
    error = failure(client, "bind")
    assert (type(error), error.retryable, error.maybe_applied) == (
        Throttled,
        True,
        False,
    )


def test_a_503_with_retry_after_was_not_executed(wire: Wire, client: Any) -> None:
    wire.answer = w.reply(ERROR, 503, "Retry-After: 7")
    error = failure(client, "bind")
    assert (type(error), error.retry_after, error.maybe_applied) == (
        Throttled,
        7.0,
        False,
    )


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", 2.0),
        ("0", 0.0),
        ("999999999999999999999", 3600.0),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(
    wire: Wire, client: Any, header: str, seconds: float | None
) -> None:
    date = "Date: Sun, 22 Nov 2026 10:00:00 GMT"
    wire.answer = w.reply(
        ERROR, 429, date, f"Retry-After: {header}".encode().decode("latin-1")
    )
    assert failure(client, "read").retry_after == seconds


@pytest.mark.parametrize("call", ["read", "bind"])
def test_a_refused_connection_sends_nothing(
    client_for: Callable[..., Any], call: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(client_for(f"http://127.0.0.1:{port}"), call)
    assert (type(error), error.maybe_applied, error.retryable) == (
        Unreachable,
        False,
        True,
    )


def test_an_unknown_host_name_sends_nothing(client_for: Callable[..., Any]) -> None:
    error = failure(client_for("https://iotda.invalid"), "bind")
    assert (type(error), error.maybe_applied, error.retryable) == (
        Unreachable,
        False,
        True,
    )
    assert error.message == "the host name is not known"


def test_a_slow_name_lookup_ends_in_time(
    client_for: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = socket.getaddrinfo

    def slow(host: Any, port: Any, *args: Any, flags: int = 0, **kwargs: Any) -> Any:
        if not flags:
            time.sleep(2)
        return real(host, port, *args, flags=flags, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    error = failure(client_for("http://localhost:9", deadline=HASTE), "bind", HASTE)
    assert (type(error), error.maybe_applied) == (Unreachable, False)


def test_a_connect_that_is_not_accepted_ends_in_time(
    client_for: Callable[..., Any],
) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        error = failure(client_for(url, connect_timeout=0.3), "bind", HASTE)
        for sock in waiting:
            sock.close()
    assert (type(error), error.maybe_applied, error.message) == (
        Unreachable,
        False,
        "no connection in time",
    )


def test_a_call_without_a_free_connection_sends_nothing(
    wire: Wire, client_for: Callable[..., Any]
) -> None:
    client = client_for(wire.url, pool_size=1, deadline=HASTE)
    wire.answer = w.hang
    assert client._transport._slots.acquire(timeout=1)
    error = failure(client, "bind", HASTE)
    assert (error.message, error.maybe_applied) == ("all connections are busy", False)
    assert not wire.requests


def test_a_connection_is_released_after_each_failure(
    wire: Wire, client_for: Callable[..., Any]
) -> None:
    client = client_for(wire.url, pool_size=1)
    for answer in (
        w.reset,
        w.then_close(),
        w.reply(b"x", 500),
        w.reply(b"x", 302),
        w.reply(DEEP),
    ):
        wire.answer = answer
        failure(client, "read")
    wire.answer = w.reply({"devices": [], "page": {"count": 0}})
    assert client.list_devices().items == ()


def test_a_dripped_body_on_a_reused_connection_ends_in_time(
    wire: Wire, hasty: Any
) -> None:
    hasty.list_devices()
    wire.answer = LOST["drip_body"]
    assert failure(hasty, "bind", HASTE).maybe_applied
    assert wire.connections == 1


PIECES = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 204 X\r\n",
    b"HTTP/1.1 100 C\r\n\r\n",
    b"HTTP/9.9 -1 \r\n",
    b"Content-Length: 2\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 1, 2\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip, gzip\r\n",
    b"Retry-After: \xff\r\n",
    b"X-Request-Id: \x00\x1b\xff\r\n",
    b"Location: //\r\n",
    b" folded\r\n",
    b"\r\n",
    b"zz\r\n",
    b"{}",
    b"\x1f\x8b\x08\x00",
    b"\xff\xfe\x00",
]


def test_random_bytes_raise_only_errors_of_the_client(wire: Wire, client: Any) -> None:
    chance = random.Random(20261122)
    for _ in range(400):
        noise = b"".join(chance.choices(PIECES, k=chance.randint(1, 8)))
        wire.answer = w.then_close(noise)
        with pytest.raises((Unreachable, BadResponse, Rejected)) as caught:
            client.bind_device_policy(POLICY, "device", ["d1"])
        assert caught.value.maybe_applied
        assert str(caught.value).isprintable()
