"""Search a deployment with full logging for every secret."""

import json
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from iotda_admin.iotda import AkSk
from tests.cloud import ROOT, Cloud
from tests.operations.deployment import Browser, Deployment

CANARIES = {
    name: f"canary-{name.lower().replace('_', '-')}-7f3a91c2e6"
    for name in (
        "IOTDA_AK", "IOTDA_SK", "IOTDA_SECURITY_TOKEN", "IOTDA_TOKEN", "IAM_PASSWORD", "SECRET_KEY",
        "METRICS_TOKEN", "AUDIT_KEY", "DEMO_PASSWORD",
    )
}  # fmt: skip
TYPED = "canary-typed-as-a-name-7f3a91c2e6"


class Loud(Deployment):
    """A deployment that logs everything to one file."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        super().__init__(folder, cloud)
        self.env |= CANARIES | {"TEST_LOG_LEVEL": "debug", "LOG_FORMAT": "json"}
        self.log = folder / "log"

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.env,
                start_new_session=True,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def manage(self, *words: str, **env: str) -> None:
        command = [sys.executable, "manage.py", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=self.env | env, capture_output=True, timeout=60
        )
        with self.log.open("ab") as log:
            log.write(done.stdout + done.stderr)


class Echo(BaseHTTPRequestHandler):
    """A gateway that fails and echoes the request."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        says = json.dumps(
            {
                "error_code": "APIGW.0500",
                "error_msg": f"{dict(self.headers.items())} {body}",
            }
        )
        self.send_response(500)
        self.send_header("Content-Length", str(len(says)))
        self.end_headers()
        self.wfile.write(says.encode())

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def loud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loud]:
    for name, value in {"AK": CANARIES["IOTDA_AK"], "SK": CANARIES["IOTDA_SK"]}.items():
        monkeypatch.setenv(f"SIMULATOR_{name}", value)
    cloud = Cloud()
    cloud.reset()
    deployment = Loud(tmp_path, cloud)
    deployment.prepare()
    yield deployment
    deployment.kill()
    cloud.close()


def send(browser: Browser, path: str, **more: Any) -> requests.Response:
    return browser.send(
        path, browser.form(path) | {"reason": "canary", "ticket": "INC-1"} | more
    )


def live(loud: Loud, base: str, echo: str) -> Browser:
    """Sign in, make changes that succeed and fail, and run commands that fail."""
    cloud, device = loud.cloud, loud.cloud.known_ids["online"]
    guest = Browser.__new__(Browser)
    guest.base, guest.http = base, requests.Session()
    send(guest, "/accounts/login/", username=TYPED, password="x")
    send(guest, "/accounts/login/", username="admin", password=CANARIES["IAM_PASSWORD"])
    browser = Browser(base, "admin", CANARIES["DEMO_PASSWORD"])
    for fault, args in {
        "status": {"status": 401},
        "redirect": {},
        "html": {"status": 500},
    }.items():
        cloud.fault("FreezeDevice", fault, match={"nth": [1]}, **args)
        send(browser, f"/devices/{device}/freeze/")
        cloud.heal()
    send(
        browser,
        f"/policies/{cloud.known_ids['policy']}/bind/",
        act="bind",
        target=cloud.free(25),
    )
    reason = ("--reason", "canary", "--ticket", "INC-2", "--wait", "1")
    bind = ("bind", "--policy", cloud.known_ids["policy"], cloud.free(1)[0])
    loud.manage(*bind, *reason, IOTDA_ENDPOINT=echo, IOTDA_AUTH="token")
    loud.manage(
        "check_iotda",
        IAM_ENDPOINT=echo,
        IOTDA_AUTH="password",
        IAM_DOMAIN="d",
        IAM_USER="u",
    )
    return browser


def crawl(browser: Browser) -> dict[str, str]:
    """Return every linked page and export; of similar pages only three."""
    pages: dict[str, str] = {}
    waiting, kinds = (
        ["/", "/audit/export.csv", "/admin/auth/user/", "/nowhere", "/metrics"],
        dict[str, int](),
    )
    while waiting:
        path = waiting.pop(0)
        kind = re.sub(r"\d+|[0-9a-f]{8,}\w*|\?.*", "…", path)
        kinds[kind] = kinds.get(kind, 0) + 1
        if path in pages or kinds[kind] > 3:
            continue
        token = (
            {"Authorization": f"Bearer {CANARIES['METRICS_TOKEN']}"}
            if path == "/metrics"
            else {}
        )
        pages[path] = browser.http.get(
            browser.base + path, timeout=20, headers=token
        ).text
        waiting += [
            link.replace("&amp;", "&")
            for link in re.findall(r'(?:href|hx-get)="(/[^"#]*)', pages[path])
        ]
    return pages


def places(loud: Loud, pages: dict[str, str]) -> dict[str, str]:
    """Return all stored, displayed and logged text, and the command lines."""
    found = {f"page {path}": text for path, text in pages.items()}
    with closing(sqlite3.connect(loud.folder / "iotda-admin.sqlite3")) as database:
        # Without the search index, which has its text in other tables.
        tables = database.execute(
            "select name from sqlite_master"
            " where type = 'table' and sql not like 'create virtual table%'"
        )
        for (table,) in tables.fetchall():
            # Django keeps the key of a session there, and nobody is shown that table.
            if table != "django_session":
                rows = database.execute(f'select * from "{table}"').fetchall()
                found[f"table {table}"] = str(rows)
    found["log"] = loud.log.read_text()
    found["processes"] = (
        b"\n".join(commands()).replace(b"\0", b" ").decode(errors="replace")
    )
    return found


def commands() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            yield path.read_bytes()


def device_secret(cloud: Cloud) -> str:
    """Return the secret of a device that was opened and frozen here."""
    keys = AkSk(CANARIES["IOTDA_AK"], CANARIES["IOTDA_SK"], region="cn-north-4")
    url = f"{cloud.api}/v5/iot/5c0ffee05c0ffee05c0ffee05c0ffee0/devices/{cloud.known_ids['online']}"
    return str(requests.get(url, auth=keys, timeout=5).json()["auth_info"]["secret"])


def hits(where: dict[str, str], secrets: dict[str, str]) -> list[tuple[str, str]]:
    return [
        (place, name)
        for place, text in where.items()
        for name, secret in secrets.items()
        if secret in text
    ]


def test_no_secret_leaks(loud: Loud, echo: str) -> None:
    base = loud.start_web()
    browser = live(loud, base, echo)
    loud.start("manage.py", "worker")
    secrets = CANARIES | {
        "typed": TYPED,
        "session": browser.http.cookies["iotda_admin_session"],
        "csrf": browser.http.cookies["iotda_admin_csrf"],
        "device": device_secret(loud.cloud),
    }
    where = places(loud, crawl(browser))
    assert {
        "table audit_event",
        "table operations_target",
        "log",
        "page /audit/export.csv",
    } <= set(where)
    assert (
        "***" in where["table operations_chunk"]
    )  # what was repeated did come that far
    assert hits(where, secrets) == []
    loud.shell(
        f"from devices.models import Device; Device.objects.update(name={secrets['IOTDA_SK']!r})"
    )
    planted = hits(
        places(loud, {"/devices/": browser.http.get(f"{base}/devices/").text}), secrets
    )
    assert planted == [
        ("page /devices/", "IOTDA_SK"),
        ("table devices_device", "IOTDA_SK"),
    ]
