"""Requests, responses, and secrets that appear nowhere."""

import gc
import importlib
import json
import pkgutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from iotda_admin import iotda
from iotda_admin.iotda import (
    BadResponse,
    Client,
    IotdaError,
    PageQuery,
    PolicyStatement,
    Rejected,
    StaticToken,
    Unreachable,
    UnsafeId,
)
from tests.iotda.wire import Wire

from . import wire as w

ID = "66b0c0ffee00112233445566"
PROJECT = "5c0ffee05c0ffee05c0ffee05c0ffee0"
DEVICE = {
    "device_id": "p_pump-014",
    "gateway_id": "p_pump-014",
    "status": "FROZEN",
    "device_name": "Pump 14",
    "tags": [{"tag_key": "site", "tag_value": "north"}],
    "auth_info": {
        "auth_type": "SECRET",
        "secret": "s3cr3t-1",
        "secondary_secret": "s3cr3t-2",
        "fingerprint": "s3cr3t-3",
        "secondary_fingerprint": "s3cr3t-4",
        "secure_access": True,
    },
    "extension_info": {"nested": {"secret": "s3cr3t-5"}},
}
STATEMENT = PolicyStatement("DENY", ("iotda:devices:publish",), ("topic:/v1/#",))
POLICY = {"policy_id": ID, "policy_name": "p", "statement": [STATEMENT.to_json()]}
TASK = {
    "task_id": "t1",
    "task_type": "freezeDevices",
    "status": "Waitting",
    "task_progress": {"waitting": 2},
}
PAGE = {"page": {"count": 0}}
BOUND = {
    "policy_id": ID,
    "target_type": "device",
    "success_targets": [],
    "failure_targets": [],
}
PAGED = "limit=50&offset=0"


@pytest.mark.parametrize(
    ("call", "answer", "sent"),
    [
        (lambda c: c.list_devices(), {"devices": [], **PAGE}, f"GET /devices?{PAGED}"),
        (
            lambda c: c.list_devices(PageQuery(5, ID, 10)),
            {"devices": [], **PAGE},
            f"GET /devices?limit=5&marker={ID}&offset=10",
        ),
        (lambda c: c.show_device("p_pump-014"), DEVICE, "GET /devices/p_pump-014"),
        (lambda c: c.freeze_device("d1"), 204, "POST /devices/d1/freeze"),
        (lambda c: c.unfreeze_device("d1"), 204, "POST /devices/d1/unfreeze"),
        (
            lambda c: c.list_products(),
            {"products": [], **PAGE},
            f"GET /products?{PAGED}",
        ),
        (lambda c: c.show_applications(), {"applications": []}, "GET /apps"),
        (
            lambda c: c.list_device_policies(),
            {"policies": [], **PAGE},
            f"GET /device-policies?{PAGED}",
        ),
        (lambda c: c.show_device_policy(ID), POLICY, f"GET /device-policies/{ID}"),
        (
            lambda c: c.bind_device_policy(ID, "device", ["b", "a"]),
            BOUND,
            f'POST /device-policies/{ID}/bind {{"target_type": "device", "target_ids": ["b", "a"]}}',
        ),
        (
            lambda c: c.unbind_device_policy(ID, "device", ["a"]),
            BOUND,
            f'POST /device-policies/{ID}/unbind {{"target_type": "device", "target_ids": ["a"]}}',
        ),
        (
            lambda c: c.show_targets_in_device_policy(ID, target_type="app"),
            {"targets": [], **PAGE},
            f'POST /device-policies/{ID}/list-targets {{"limit": 50, "offset": 0, "target_type": "app"}}',
        ),
        (
            lambda c: c.create_batch_task("t_1", "freezeDevices", ["a"]),
            TASK,
            'POST /batchtasks {"task_name": "t_1", "task_type": "freezeDevices", "targets": ["a"]}',
        ),
        (
            lambda c: c.show_batch_task("t1"),
            {"batchtask": TASK, "task_details": [], **PAGE},
            f"GET /batchtasks/t1?{PAGED}",
        ),
        (
            lambda c: c.list_batch_tasks("freezeDevices"),
            {"batchtasks": [TASK], "page": {"count": 1}},
            f"GET /batchtasks?{PAGED}&task_type=freezeDevices",
        ),
    ],
)
def test_each_request_is_as_documented(
    wire: Wire, client: Any, call: Callable[..., Any], answer: Any, sent: str
) -> None:
    wire.answer = w.reply(b"", 204) if answer == 204 else w.reply(answer)
    call(client)
    (request,) = wire.requests
    target = request["target"].removeprefix(f"/v5/iot/{PROJECT}")
    line = f"{request['method']} {target} {request['body'].decode()}".strip()
    assert line == sent
    assert request["headers"]["content-type"] == "application/json"
    assert request["headers"]["x-project-id"] == PROJECT


def test_the_instance_id_is_sent_if_given(
    wire: Wire, client_for: Callable[..., Any]
) -> None:
    client_for(wire.url, instance_id="inst-1").list_devices()
    assert wire.requests[0]["headers"]["instance-id"] == "inst-1"


def test_a_device_has_the_fields_of_the_response(wire: Wire, client: Any) -> None:
    wire.answer = w.reply(DEVICE)
    device = client.show_device("p_pump-014")
    assert (device.status, device.device_name, device.is_child) == (
        "FROZEN",
        "Pump 14",
        False,
    )
    assert device.tags[0].tag_value == "north"


def test_a_devices_secrets_are_in_no_object(wire: Wire, client: Any) -> None:
    wire.answer = w.reply(DEVICE)
    device = client.show_device("p_pump-014")
    gc.collect()
    assert "s3cr3t" not in repr(device)
    ours = [
        o
        for o in gc.get_objects()
        if str(type(o).__module__).startswith("iotda_admin.iotda")
    ]
    assert ours
    assert "s3cr3t" not in repr(ours)


def chain(error: Any) -> Iterator[Any]:
    """Yield the error and its causes and contexts."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "body",
    [
        {**DEVICE, "status": None},
        json.dumps(DEVICE).encode()[:-5],
        b'{"a":1,"a":2,' + b'"secret":"s3cr3t"}',
    ],
)
@pytest.mark.parametrize("status", [200, 500])
def test_a_devices_secrets_are_in_no_error(
    wire: Wire, client: Any, body: Any, status: int
) -> None:
    wire.answer = w.reply(body, status)
    with pytest.raises(IotdaError) as caught:
        client.show_device("p_pump-014")
    for link in chain(caught.value):
        assert "s3cr3t" not in repr((vars(link), link.args))
        frames = [frame for frame, _ in traceback.walk_tb(link.__traceback__)]
        ours = [
            frame.f_locals
            for frame in frames
            if "iotda_admin/iotda" in frame.f_code.co_filename
        ]
        assert ours
        assert "s3cr3t" not in repr(ours)


def test_a_token_is_in_no_error(client_for: Callable[..., Any]) -> None:
    client = client_for("http://127.0.0.1:9", StaticToken("t0k3n"))
    with pytest.raises(Unreachable) as caught:
        client.list_devices()
    for link in chain(caught.value):
        assert getattr(link, "request", None) is None
        assert "t0k3n" not in repr((vars(link), link.args))


@pytest.mark.parametrize(
    "device",
    [{"status": "ONLINE"}, {"device_id": "d"}, {"device_id": 7, "status": "x"}, "d"],
)
def test_a_row_without_a_required_field_raises(
    wire: Wire, client: Any, device: Any
) -> None:
    wire.answer = w.reply({"devices": [device], "page": {"count": 1}})
    with pytest.raises(BadResponse):
        client.list_devices()


@pytest.mark.parametrize(
    "body", [{}, {"devices": []}, {"devices": [], "page": {}}, {"page": {"count": 1}}]
)
def test_a_listing_without_a_required_field_raises(
    wire: Wire, client: Any, body: Any
) -> None:
    wire.answer = w.reply(body)
    with pytest.raises(BadResponse):
        client.list_devices()


def test_text_shows_what_databases_refuse(wire: Wire, client: Any) -> None:
    body = rb'{"device_id": "d", "status": "x", "device_name": "a\u0000b\ud800c"}'
    wire.answer = w.reply(body)
    assert client.show_device("d").device_name == "a\ufffdb\ufffdc"
    rule = rb'{"effect": "\u0000", "actions": ["a\u0000"], "resources": ["\ud800"]}'
    wire.answer = w.reply(
        rb'{"policy_id": "p", "policy_name": "n", "statement": [%b]}' % rule
    )
    assert client.show_device_policy("p").statement == (
        PolicyStatement("\ufffd", ("a\ufffd",), ("\ufffd",)),
    )


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("Pump 14", "Pump 14"),
        ("泵\n\u200e\u00a014\t", "泵\n\u200e\u00a014\t"),
        ("", ""),
        (None, ""),
        (14, "14"),
        ({"en": "Pump\0"}, '{"en": "Pump\\u0000"}'),
    ],
)
def test_other_text_stays_as_it_was_sent(
    wire: Wire, client: Any, sent: Any, read: str
) -> None:
    body = {"device_id": "d", "status": "x", "device_name": sent}
    wire.answer = w.reply(body)
    assert client.show_device("d").device_name == read


def test_a_gzipped_response_is_read(wire: Wire, client: Any) -> None:
    wire.answer = w.gzipped({"devices": [], "page": {"count": 0}})
    assert client.list_devices().count == 0


BAD_IDS = [
    "",
    "a/b",
    "..",
    "a b",
    "d\n",
    "ä",
    "a%2Fb",
    "x" * 129,
    "a?b",
    "\x00",
    None,
    5,
]


@pytest.mark.parametrize("bad", BAD_IDS)
@pytest.mark.parametrize(
    "call",
    [
        lambda c, i: c.show_device(i),
        lambda c, i: c.freeze_device(i),
        lambda c, i: c.show_device_policy(i),
        lambda c, i: c.bind_device_policy(ID, "device", [i]),
        lambda c, i: c.bind_device_policy(i, "device", ["a"]),
        lambda c, i: c.create_batch_task("t", "freezeDevices", [i]),
        lambda c, i: c.show_batch_task(i),
    ],
)
def test_a_bad_id_raises_before_any_io(
    wire: Wire, client: Any, call: Callable[..., Any], bad: Any
) -> None:
    with pytest.raises(UnsafeId):
        call(client, bad)
    assert not wire.connections


@pytest.mark.parametrize("name", ["", "a-b", "a b", "x" * 129, "a\n"])
def test_a_bad_task_name_raises(client: Any, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        client.create_batch_task(name, "freezeDevices", ["a"])


def test_an_error_is_one_line_without_control_characters(
    wire: Wire, client: Any
) -> None:
    message = "line\r\n\x1b[31mred\u202e <b>" + "x" * 100_000
    wire.answer = w.reply({"error_code": "IOTDA.1", "error_msg": message}, 400)
    with pytest.raises(Rejected) as caught:
        client.freeze_device("d1")
    line = str(caught.value)
    assert line.startswith("FreezeDevice: IOTDA.1: line [31mred <b>xxx")
    assert line.endswith("x (request req-1)")
    assert len(caught.value.message) == 512


@pytest.mark.parametrize(
    "body",
    [
        {"error_code": "C", "error_msg": "M"},
        {"errorCode": "C", "errorMsg": "M"},
        {"code": "C", "message": "M"},
        {"error": {"code": "C", "message": "M"}},
    ],
)
def test_it_reads_every_spelling_of_an_error(
    wire: Wire, client: Any, body: dict[str, Any]
) -> None:
    wire.answer = w.reply(body, 404)
    with pytest.raises(Rejected) as caught:
        client.show_device("d1")
    assert (caught.value.code, caught.value.message) == ("C", "M")


@pytest.mark.parametrize(
    ("status", "code", "not_found"),
    [
        (404, "IOTDA.014000", True),
        (404, "APIGW.0101", False),
        (404, "", False),
        (403, "IOTDA.014000", False),
    ],
)
def test_only_a_404_of_iotda_itself_means_not_found(
    status: int, code: str, not_found: bool
) -> None:
    assert Rejected("x", status=status, code=code).not_found is not_found


def test_retryable_and_maybe_applied_exclude_each_other() -> None:
    assert not IotdaError(retryable=True, maybe_applied=True).retryable


def test_an_observer_gets_a_record_of_each_call(
    wire: Wire, client_for: Callable[..., Any]
) -> None:
    heard: list[Any] = []
    client = client_for(wire.url, observer=heard.append)
    started = time.monotonic()
    client.list_devices()
    wire.answer = w.reply({"error_code": "C", "error_msg": "M"}, 403)
    with pytest.raises(Rejected):
        client.freeze_device("d1")
    wire.answer = w.reset
    with pytest.raises(Unreachable):
        client.freeze_device("d1")
    assert [(r.operation, r.status) for r in heard] == [
        ("ListDevices", 200),
        ("FreezeDevice", 403),
        ("FreezeDevice", None),
    ]
    assert all(r.seconds > 0 for r in heard)
    assert sum(r.seconds for r in heard) <= time.monotonic() - started


def test_a_failing_observer_does_not_fail_the_call(
    wire: Wire, client_for: Callable[..., Any]
) -> None:
    wire.answer = w.reply(b"", 204)
    assert (
        client_for(wire.url, observer=lambda record: 1 / 0).freeze_device("d1").status
        == 204
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://example.com",
        "ftp://127.0.0.1",
        "https://",
        "example.com",
        "https://h/path",
        "https://u:p@h",
        "",
    ],
)
def test_an_endpoint_is_https_or_local(endpoint: str) -> None:
    with pytest.raises(ValueError, match="https"):
        Client(endpoint=endpoint, project_id=PROJECT, auth=StaticToken("t"))


@pytest.mark.parametrize(
    "endpoint",
    ["https://h/", "http://localhost:1", "http://127.9.9.9", "http://[::1]:8"],
)
def test_plain_http_is_allowed_for_this_machine(endpoint: str) -> None:
    Client(endpoint=endpoint, project_id=PROJECT, auth=StaticToken("t")).close()


def test_every_export_exists_and_is_documented() -> None:
    for name in iotda.__all__:
        exported = getattr(iotda, name)
        if isinstance(exported, type):
            assert exported.__doc__, name


def test_each_endpoint_is_documented() -> None:
    methods = [
        m for m in vars(Client).keys() | set(dir(Client)) if not m.startswith("_")
    ]
    assert all(getattr(Client, method).__doc__ for method in methods)


def test_the_client_imports_no_django_and_no_other_room() -> None:
    modules = [
        f"iotda_admin.iotda.{m.name}" for m in pkgutil.iter_modules(iotda.__path__)
    ]
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    ours = {m for m in loaded.split() if m.startswith("iotda_admin")}
    assert not [m for m in loaded.split() if m.startswith(("django", "huaweicloud"))]
    assert all(m == "iotda_admin" or m.startswith("iotda_admin.iotda") for m in ours)
    assert importlib.import_module("iotda_admin.iotda") is iotda
