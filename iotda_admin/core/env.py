"""Settings from the environment. A wrong value stops the start and is named."""

import os
import re
import secrets
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import available_timezones

from django.core.exceptions import ImproperlyConfigured

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# Only these hosts may receive credentials over plain http.
LOCAL = {"localhost", "127.0.0.1", "::1"}
# Huawei Cloud's domains: its regions (https://developer.huaweicloud.com/endpoint), the
# European site, and the second name of some regions.
HUAWEI_CLOUD = (".myhuaweicloud.com", ".myhuaweicloud.eu", ".myhuaweicloud.cn")
DATABASE_ADDRESSES = (
    "sqlite:///path or postgres://user:password@host:port/name?option=value, "
    "with other signs than letters and digits as %XX"
)
# Django's names, and libpq's.
DATABASE_KEYS = {
    "NAME": "dbname",
    "USER": "user",
    "PASSWORD": "password",
    "HOST": "host",
    "PORT": "port",
}
# The values of all secrets, which error pages leave out (core.error_report).
secrets_read: set[str] = set()
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def invalid(name: str, expected: str) -> ImproperlyConfigured:
    """Return the error, without the value: it can hold a secret, or be next to one."""
    return ImproperlyConfigured(f"{name} must be {expected}.")


def raw(name: str, default: str) -> str:
    return os.environ.get(name, default).strip()


def text(
    name: str, default: str = "", *, pattern: str = "(?s).*", means: str = ""
) -> str:
    value = raw(name, default)
    if not re.fullmatch(pattern, value):
        raise invalid(name, means)
    return value


def regex(name: str, default: str) -> str:
    value = raw(name, default)
    try:
        re.compile(value)
    except re.error as error:
        raise invalid(name, f"a regular expression ({error})") from None
    return value


def register_secret(value: str) -> str:
    secrets_read.update(value.split())
    return value


def secret(name: str, default: str = "") -> str:
    """Read a value that must not be printed; NAME_FILE may name a file that holds it."""
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return register_secret(raw(name, default))
    try:
        return register_secret(Path(path).read_text().strip())
    except (OSError, ValueError) as error:
        # Without the path, which may be the secret itself.
        reason = getattr(error, "strerror", "it is not text")
        raise ImproperlyConfigured(
            f"{name}_FILE: cannot read the file that it names ({reason})."
        ) from None


def token(name: str) -> str:
    """Read a secret that attackers can guess at without a limit; empty for none."""
    value = secret(name)
    if not re.fullmatch(r"([\x21-\x7e]{16,})?", value):
        raise invalid(name, "at least 16 letters, digits or signs")
    return value


def flag(name: str, default: bool) -> bool:
    value = raw(name, str(default)).lower()
    if value not in TRUE | FALSE:
        raise invalid(name, "True or False")
    return value in TRUE


def integer(name: str, default: int, *, low: int, high: int) -> int:
    value = number(name, default, low=low, high=high)
    if value != int(value):
        raise invalid(name, f"a whole number from {low} to {high}")
    return int(value)


def number(name: str, default: float, *, low: float, high: float) -> float:
    value = raw(name, str(default))
    with suppress(ValueError):
        if low <= float(value) <= high:
            return float(value)
    raise invalid(name, f"a number from {low:g} to {high:g}")


def choice(name: str, default: str, allowed: Sequence[str]) -> str:
    value = raw(name, default).lower()
    if value not in allowed:
        raise invalid(name, f"one of {', '.join(allowed)}")
    return value


def items(name: str, default: str = "", *, pattern: str, means: str) -> list[str]:
    """Read values separated by commas."""
    found = list(filter(None, map(str.strip, raw(name, default).split(","))))
    for item in found:
        if not re.fullmatch(pattern, item):
            raise invalid(name, means)
    return found


def time_zone(name: str, default: str) -> str:
    value = raw(name, default)
    if value not in available_timezones():
        raise invalid(name, "a time zone such as Asia/Shanghai")
    return value


def working_hours(name: str, default: str) -> tuple[frozenset[int], time, time]:
    """Read "Mon-Fri 08:00-18:00": days of the week (Monday is 0), start and end."""
    value = raw(name, default)
    found = re.fullmatch(r"(\w{3})-(\w{3}) (\d\d:\d\d)-(\d\d:\d\d)", value)
    with suppress(ValueError):
        if found:
            first, last = DAYS.index(found[1]), DAYS.index(found[2])
            days = frozenset((first + n) % 7 for n in range((last - first) % 7 + 1))
            return days, time.fromisoformat(found[3]), time.fromisoformat(found[4])
    raise invalid(name, "such as Mon-Fri 08:00-18:00")


def url(name: str, default: str, *, hosts: Sequence[str]) -> str:
    """Read where credentials go: Huawei Cloud, this machine or one of `hosts`."""
    value = raw(name, default).rstrip("/")
    scheme, host = scheme_and_host(value)
    if not host or (scheme == "http" and host not in LOCAL):
        raise invalid(name, "an address such as https://host, without a path")
    if not (host in LOCAL or host in hosts or host.endswith(HUAWEI_CLOUD)):
        raise ImproperlyConfigured(
            f"{name} must be a host of Huawei Cloud (*.myhuaweicloud.com), not {host}. "
            f"If it is yours, set IOTDA_HOSTS={host}."
        )
    return value


def proxy(name: str) -> str:
    value = raw(name, "").rstrip("/")
    address = re.sub(r"//[^/@]*@", "//", value)
    if value and not scheme_and_host(address)[1]:
        raise invalid(name, "an address such as http://proxy:3128, without a path")
    register_url_password(value)
    return value


def register_url_password(url: str) -> None:
    with suppress(ValueError):
        password = urlsplit(url).password or ""
        secrets_read.update({password, unquote(password)})


def certificates(name: str) -> str:
    """Read the path of a file of CA certificates; empty for none."""
    path = raw(name, "")
    try:
        if path:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        # ssl.SSLError is one as well; its text names OpenSSL's functions.
        found = isinstance(error, ssl.SSLError)
        reason = "it has none" if found else error.strerror
        raise invalid(
            name, f"a file of CA certificates in PEM format ({reason})"
        ) from None
    return path


def scheme_and_host(value: str) -> tuple[str, str]:
    """Split an address of scheme, host and optional port; empty for any other."""
    host = r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
    found = re.fullmatch(rf"(https?)://{host}(:[1-9]\d{{0,4}})?", value)
    return (found[1], found[2].strip("[]").lower()) if found else ("", "")


def require(values: dict[str, str]) -> None:
    """Stop the start if the chosen way to authenticate lacks a value."""
    for name, value in values.items():
        if not value:
            raise ImproperlyConfigured(f"{name} is missing: IOTDA_AUTH requires it.")


def database(name: str, default: Path) -> dict[str, Any]:
    """Read the address of the database: SQLite, or PostgreSQL as libpq reads it."""
    value = secret(name)
    if value.startswith(("postgres://", "postgresql://")):
        return postgresql(name, value)
    path = unquote(value.removeprefix("sqlite:///")) if value else str(default)
    if not path or path == value or "?" in value:
        raise invalid(name, DATABASE_ADDRESSES)
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": path}


def postgresql(name: str, value: str) -> dict[str, Any]:
    options = libpq_options(name, value)
    keys = {key: options.pop(option, "") for key, option in DATABASE_KEYS.items()}
    register_secret(keys["PASSWORD"])
    named = keys["NAME"] or "service" in options
    if not named or not re.fullmatch(r"[\d,]*", keys["PORT"]):
        raise invalid(name, DATABASE_ADDRESSES)
    if options.get("sslmode", "prefer") not in SSL_MODES:
        raise invalid(f"{name}: sslmode", f"one of {', '.join(SSL_MODES)}")
    return {"ENGINE": "django.db.backends.postgresql", **keys, "OPTIONS": options}


def libpq_options(name: str, value: str) -> dict[str, str]:
    """Split the address of a PostgreSQL database, as libpq does."""
    # psycopg is loaded only where it is used: SQLite starts without it.
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return {key: str(each) for key, each in conninfo_to_dict(value).items()}
    except ProgrammingError as error:
        unknown = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
        # With an @ behind it, the question mark is part of the password.
        if unknown and "@" not in value.partition("?")[2]:
            raise ImproperlyConfigured(
                f"{name} has the option {unknown[1]}, which PostgreSQL does not know."
            ) from None
        raise invalid(name, DATABASE_ADDRESSES) from None


def broker(name: str) -> str:
    """Read the address of Celery's broker; empty for none."""
    value = secret(name)
    register_url_password(value)
    with suppress(ValueError):
        parts = urlsplit(value)
        if not value or (
            parts.scheme in {"redis", "rediss", "amqp", "amqps"}
            and parts.hostname
            and parts.port != 0
            and not parts.fragment
        ):
            return value
    raise invalid(name, "redis://:password@host:port/number or amqp://…")


def folder(name: str, default: Path) -> Path:
    """Read a folder to write to, and create it if it does not exist."""
    path = Path(raw(name, str(default)))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise invalid(name, f"a folder to write to ({error.strerror})") from None
    return path


def kept_secret(name: str, path: Path) -> str:
    """Read a secret, else create one at the first start and keep it in `path`."""
    if value := secret(name):
        return value
    try:
        with suppress(FileExistsError):
            path.touch(0o600, exist_ok=False)
            path.write_text(secrets.token_urlsafe(48))
        return register_secret(path.read_text().strip())
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name} is not set and cannot be kept in {path} ({error.strerror})."
        ) from error
