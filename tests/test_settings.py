"""Each setting is checked at the start, documented, and never printed when it is a secret."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from iotda_admin.core import env
from iotda_admin.simulator.config import ENVIRONMENT

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = (ROOT / "iotda_admin" / "settings.py").read_text()
NAMES = sorted(set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', SETTINGS)))
SIMULATOR = sorted(ENVIRONMENT.values())
DEMO = re.findall(r'"\$\{([A-Z_]+):=', (ROOT / "bin" / "demo").read_text())


def start(tmp_path: Path, **changes: Any) -> tuple[Any, ...]:
    """Run `manage.py check` with these settings; return its exit status and output."""
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), **changes}
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def test_the_names_of_settings_are_found() -> None:
    assert {"IOTDA_ENDPOINT", "DATABASE_URL", "SECRET_KEY"} <= set(NAMES)


@pytest.mark.parametrize("name", sorted({*NAMES, *DEMO, *SIMULATOR}))
def test_each_setting_is_documented(name: Any) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "settings.md").read_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IOTDA_ENDPOINT", "iotda.example.com"),
        ("DATA_DIR", "/dev/null/data"),
        ("IOTDA_ENDPOINT", ""),
        ("IOTDA_PROJECT_ID", "my-project"),
        ("IOTDA_REGION", "Beijing 4"),
        ("IOTDA_INSTANCE_ID", "../other"),
        ("IOTDA_AUTH", "oauth"),
        ("IOTDA_SIGNATURE", "md5"),
        ("IAM_ENDPOINT", "ftp://iam"),
        ("IOTDA_PROXY", "proxy:3128"),
        ("IOTDA_CA_BUNDLE", "/nowhere/ca.pem"),
        ("IOTDA_CA_BUNDLE", "README.md"),
        ("IOTDA_CONNECT_TIMEOUT", "soon"),
        ("IOTDA_DEADLINE", "-1"),
        ("IOTDA_CONNECTIONS", "0"),
        ("IOTDA_RATE", "-1"),
        ("IOTDA_BURST", "0"),
        ("INVENTORY_REFRESH", "never"),
        ("INVENTORY_IN_FLIGHT", "99"),
        ("READ_BACK_GAP", "nan"),
        ("TARGETS_LIMIT", "1e9"),
        ("IOTDA_ENDPOINT", "https://iotda.example.com/v5"),
        ("IOTDA_ENDPOINT", "http://iotda.example.com"),
        ("IOTDA_ENDPOINT", "https://iotda.example.com"),
        ("IOTDA_HOSTS", "*"),
        ("IAM_ENDPOINT", "https://iam.example.com"),
        ("IAM_ENDPOINT", "http://iam.example.com"),
        ("IOTDA_PROXY", "http://proxy:3128/x"),
        ("IOTDA_CONNECTIONS", "2.7"),
        ("ALLOWED_HOSTS", "http://desk.example.com/"),
        ("CSRF_TRUSTED_ORIGINS", "desk.example.com"),
        ("DATABASE_URL", "mysql://root@localhost/x"),
        ("CELERY_BROKER_URL", "redis:6379"),
        ("HTTPS", "maybe"),
        ("BEHIND_PROXY", "2"),
        ("DEBUG", "on please"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("SESSION_IDLE_MINUTES", "0"),
        ("LOGIN_TRIES", "0"),
        ("METRICS_TOKEN", "short"),
    ],
)
def test_a_wrong_value_stops_the_start_and_is_named(
    tmp_path: Path, name: str, value: str
) -> None:
    status, said = start(tmp_path, **{name: value})
    assert status == 2
    assert said.startswith(f"IoTDA Admin cannot start: {name} ")
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://myhuaweicloud.com.evil.example",
        "https://evilmyhuaweicloud.com",
        "https://evil.example\\@x.myhuaweicloud.com",
        "https://user@x.myhuaweicloud.com",
        "https://evil.example#.myhuaweicloud.com",
        "https://x.myhuaweicloud.com:0",
        "http://127.0.0.1.evil.example",
        "http://x.myhuaweicloud.com",
        "https://allowed.example.evil.example",
        "file://x.myhuaweicloud.com",
    ],
)
def test_credentials_go_to_no_other_host(
    monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    monkeypatch.setenv("IOTDA_ENDPOINT", elsewhere)
    with pytest.raises(ImproperlyConfigured):
        env.url("IOTDA_ENDPOINT", "", hosts=["allowed.example"])


@pytest.mark.parametrize(
    "host", ["a1.st1.iotda-app.eu-west-101.myhuaweicloud.eu", "allowed.example"]
)
def test_credentials_go_to_huawei_cloud_and_allowed_hosts(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("IOTDA_ENDPOINT", f"https://{host}:8943")
    assert (
        env.url("IOTDA_ENDPOINT", "", hosts=["allowed.example"])
        == f"https://{host}:8943"
    )


@pytest.mark.parametrize("auth", ["password", "token"])
def test_an_authentication_method_requires_its_settings(
    tmp_path: Path, auth: str
) -> None:
    status, said = start(tmp_path, IOTDA_AUTH=auth)
    assert status == 2
    assert "is missing: IOTDA_AUTH requires it" in said


def test_the_password_of_a_wrong_database_url_is_not_printed(tmp_path: Path) -> None:
    _status, said = start(
        tmp_path, DATABASE_URL="mysql://root:canary-password@localhost/x"
    )
    assert "canary-password" not in said


DATABASE = """
from django.conf import settings
from django.db import connection
options = settings.DATABASES["default"]["OPTIONS"]
options.pop("pool", None)
print(options)
if "sslmode" in options:
    connection.ensure_connection()
"""


def open_database(tmp_path: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Print the database's options, and open it if they say how to use TLS."""
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), **changes}
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", DATABASE]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


def test_the_options_of_a_database_url_are_kept(tmp_path: Path) -> None:
    # Nothing listens on port 1.
    url = "postgres://u:p@127.0.0.1:1/n?sslmode=verify-full&sslrootcert=%2Fa%20b%2Fca.pem&connect_timeout=1"
    done = open_database(tmp_path, DATABASE_URL=url)
    kept = {
        "connect_timeout": "1",
        "sslmode": "verify-full",
        "sslrootcert": "/a b/ca.pem",
    }
    assert ast.literal_eval(done.stdout) == kept
    assert done.returncode != 0


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_postgresql_without_tls_is_refused_where_tls_is_demanded(
    tmp_path: Path, mode: str
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    own = connection.settings_dict
    address = f"{own['HOST'] or '127.0.0.1'}:{own['PORT'] or 5432}"
    url = (
        f"postgres://{own['USER']}:{own['PASSWORD']}@{address}/postgres?sslmode={mode}"
    )
    done = open_database(
        tmp_path, DATABASE_URL=url + "&sslrootcert=system" * (mode == "verify-full")
    )
    assert done.returncode != 0
    assert "server does not support SSL" in done.stderr


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (
            "sslmoed=require",
            "DATABASE_URL has the option sslmoed, which PostgreSQL does not know.",
        ),
        ("sslmode=verify-ful", "DATABASE_URL: sslmode must be one of disable, allow,"),
    ],
)
def test_a_wrong_option_of_a_database_url_is_named(
    tmp_path: Path, query: str, sentence: str
) -> None:
    url = f"postgres://u:canary-password@127.0.0.1/n?{query}"
    status, said = start(tmp_path, DATABASE_URL=url)
    assert status == 2
    assert sentence in said
    assert "canary" not in said


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:pass@127.0.0.1:canary/n",
        "postgres://u:1?canary=2@127.0.0.1/n?x=1",
        "postgres://u:canary%zz@127.0.0.1/n",
        "postgres://u:canary@127.0.0.1/",
        "sqlite:///canary?mode=ro",
        "canary",
    ],
)
def test_a_wrong_database_url_is_not_printed(tmp_path: Path, url: str) -> None:
    status, said = start(tmp_path, DATABASE_URL=url)
    assert status == 2
    assert said.startswith("IoTDA Admin cannot start: DATABASE_URL ")
    assert "canary" not in said


def test_a_database_url_can_be_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path}/a%20b.sqlite3\n")
    changes = {"DATA_DIR": str(tmp_path), "DATABASE_URL_FILE": str(tmp_path / "url")}
    says = "from iotda_admin.settings import *; print(DATABASES['default']['NAME'])"
    done = subprocess.run(
        [sys.executable, "-c", says],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **changes},
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{tmp_path}/a b.sqlite3\n"


def test_the_password_of_a_wrong_broker_url_is_not_printed(tmp_path: Path) -> None:
    _status, said = start(
        tmp_path, CELERY_BROKER_URL="redis://:canary-password@localhost:x"
    )
    assert "CELERY_BROKER_URL must be" in said
    assert "canary-password" not in said


def test_a_secret_can_be_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token\n")
    status, _said = start(
        tmp_path, IOTDA_AUTH="token", IOTDA_TOKEN_FILE=str(tmp_path / "token")
    )
    assert status == 0


def test_a_missing_secret_file_is_named(tmp_path: Path) -> None:
    status, said = start(tmp_path, IOTDA_SK_FILE="/nowhere")
    assert status == 2
    assert "IOTDA_SK_FILE" in said


def test_over_https_a_cookie_is_bound_to_the_host(tmp_path: Path) -> None:
    says = "from iotda_admin.settings import *; print(SESSION_COOKIE_NAME, CSRF_COOKIE_NAME)"
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", says],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "__Host-iotda_admin_session __Host-iotda_admin_csrf\n"


def test_a_created_secret_key_is_kept(tmp_path: Path) -> None:
    start(tmp_path)
    made = (tmp_path / "secret_key").read_text()
    start(tmp_path)
    assert (tmp_path / "secret_key").read_text() == made
    assert len(made) >= 50
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


SHOWN = """
import json
from django.conf import settings
print(json.dumps({
    "preload": settings.SECURE_HSTS_PRELOAD,
    "subdomains": settings.SECURE_HSTS_INCLUDE_SUBDOMAINS,
    "pool": settings.DATABASES["default"]["OPTIONS"].get("pool", {}).get("max_size"),
}))
"""


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, {"preload": False, "subdomains": True, "pool": 32}),
        (
            {"HSTS_PRELOAD": "True", "DATABASE_POOL": "5"},
            {"preload": True, "subdomains": True, "pool": 5},
        ),
        (
            {"HSTS_SUBDOMAINS": "False", "DATABASE_POOL": "0"},
            {"preload": False, "subdomains": False, "pool": None},
        ),
        (
            {"HTTPS": "False", "HSTS_PRELOAD": "True"},
            {"preload": False, "subdomains": False, "pool": 32},
        ),
    ],
)
def test_hsts_and_the_pool_can_be_set(
    tmp_path: Path, changes: dict[str, str], shown: dict[str, Any]
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": "postgres://u:p@127.0.0.1/n",
        "DJANGO_SETTINGS_MODULE": "iotda_admin.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", SHOWN],
        cwd=ROOT,
        env=environment | changes,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) == shown
