"""Settings from the environment: a wrong value stops the start with a sentence that names it."""

import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import time
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import environ  # type: ignore[import-untyped]
from django.core.exceptions import ImproperlyConfigured

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def text(name: str, default: str = "", *, pattern: str = "", means: str = "") -> str:
    value = os.environ.get(name, default).strip()
    if pattern and not re.fullmatch(pattern, value):
        raise ImproperlyConfigured(f"{name} must be {means}, not {value!r}.")
    return value


def secret(name: str, default: str = "") -> str:
    """Like text, but a value that must never be printed; NAME_FILE names a file that holds it."""
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return os.environ.get(name, default).strip()
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name}_FILE: cannot read {path!r} ({error.strerror})."
        ) from error


def token(name: str) -> str:
    """A secret that strangers may guess at as often as they like."""
    value = secret(name)
    if value and not re.fullmatch(r"[\x21-\x7e]{16,}", value):
        raise ImproperlyConfigured(
            f"{name} must be at least 16 letters, digits or signs."
        )
    return value


def flag(name: str, default: bool) -> bool:
    value = os.environ.get(name, str(default)).strip().lower()
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be True or False, not {value!r}.")
    return value in TRUE


def whole(name: str, default: int, *, low: int, high: int) -> int:
    value = number(name, default, low=low, high=high)
    if value != int(value):
        raise ImproperlyConfigured(
            f"{name} must be a whole number from {low} to {high}, not {value:g}."
        )
    return int(value)


def number(name: str, default: float, *, low: float, high: float) -> float:
    value = os.environ.get(name, str(default)).strip()
    try:
        result = float(value)
    except ValueError:
        result = float("nan")
    if not low <= result <= high:
        raise ImproperlyConfigured(
            f"{name} must be a number from {low:g} to {high:g}, not {value!r}."
        )
    return result


def choice(name: str, default: str, allowed: Sequence[str]) -> str:
    value = os.environ.get(name, default).strip().lower()
    if value not in allowed:
        raise ImproperlyConfigured(
            f"{name} must be one of {', '.join(allowed)}, not {value!r}."
        )
    return value


def words(name: str, default: str = "", *, pattern: str, means: str) -> list[str]:
    found = [
        word.strip()
        for word in os.environ.get(name, default).split(",")
        if word.strip()
    ]
    for word in found:
        if not re.fullmatch(pattern, word):
            raise ImproperlyConfigured(f"{name} must be {means}, not {word!r}.")
    return found


# Credentials go to these addresses: in the clear only to this machine.
HERE = {"localhost", "127.0.0.1", "::1"}


def zone(name: str, default: str) -> str:
    value = text(name, default)
    if value not in available_timezones():
        raise ImproperlyConfigured(
            f"{name} must be a time zone such as Asia/Shanghai, not {value!r}."
        )
    return value


DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def hours(name: str, default: str) -> tuple[frozenset[int], time, time]:
    """Days of the week (Monday is 0), and from when to when: "Mon-Fri 08:00-18:00"."""
    value = text(name, default)
    found = re.fullmatch(r"(\w{3})-(\w{3}) (\d\d:\d\d)-(\d\d:\d\d)", value)
    with suppress(ValueError):
        if found:
            first, last = DAYS.index(found[1]), DAYS.index(found[2])
            days = frozenset((first + n) % 7 for n in range((last - first) % 7 + 1))
            return days, time.fromisoformat(found[3]), time.fromisoformat(found[4])
    raise ImproperlyConfigured(
        f"{name} must be such as Mon-Fri 08:00-18:00, not {value!r}."
    )


# Huawei Cloud's own names: its regions' (https://developer.huaweicloud.com/endpoint), the European site's,
# and the second name of some regions.
HUAWEI_CLOUD = (".myhuaweicloud.com", ".myhuaweicloud.eu", ".myhuaweicloud.cn")


def url(name: str, default: str, *, hosts: Sequence[str]) -> str:
    """Where credentials go: Huawei Cloud, this machine, or one of these other hosts."""
    value = os.environ.get(name, default).strip().rstrip("/")
    scheme, host = parts_of(value)
    if not host or (scheme == "http" and host not in HERE):
        raise ImproperlyConfigured(
            f"{name} must be an address such as https://host, without a path."
        )
    if not (host in HERE or host in hosts or host.endswith(HUAWEI_CLOUD)):
        raise ImproperlyConfigured(
            f"{name} must be a host of Huawei Cloud (*.myhuaweicloud.com), not {host}. "
            f"If it is yours, set IOTDA_HOSTS={host}."
        )
    return value


def proxy(name: str) -> str:
    value = os.environ.get(name, "").strip().rstrip("/")
    address = re.sub(r"//[^/@]*@", "//", value)
    if value and not parts_of(address)[1]:
        raise ImproperlyConfigured(
            f"{name} must be an address such as http://proxy:3128, without a path."
        )
    return value


def parts_of(value: str) -> tuple[str, str]:
    """Scheme and host of an address that has nothing else but a port; empty for any other."""
    host = r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
    found = re.fullmatch(rf"(https?)://{host}(:[1-9]\d{{0,4}})?", value)
    return (found[1], found[2].strip("[]").lower()) if found else ("", "")


def require(wanted: bool, **values: str) -> None:
    """Stop where a chosen way to work lacks a value."""
    missing = [name for name, value in values.items() if wanted and not value]
    if missing:
        raise ImproperlyConfigured(f"{missing[0]} is missing: IOTDA_AUTH asks for it.")


def database(name: str, default: str) -> dict[str, object]:
    try:
        config: dict[str, object] = environ.Env.db_url_config(
            os.environ.get(name) or default
        )
    except (ValueError, ImproperlyConfigured):
        config = {}
    engine = str(config.get("ENGINE", ""))
    if engine not in {"django.db.backends.sqlite3", "django.db.backends.postgresql"}:
        # The value can hold a password, so it is not repeated.
        raise ImproperlyConfigured(
            f"{name} must be sqlite:///path or postgres://user:password@host:port/name."
        )
    return config


def redis(name: str) -> str:
    """An address with a password in it, maybe; empty for none."""
    value = secret(name)
    try:
        parts = urlsplit(value)
        good = (
            parts.scheme in {"redis", "rediss"}
            and bool(parts.hostname)
            and parts.port != 0
        )
        good = (
            good
            and bool(re.fullmatch(r"(/\d*)?", parts.path))
            and not (parts.query or parts.fragment)
        )
    except ValueError:
        good = False
    if value and not good:
        # The value can hold a password, so it is not repeated.
        raise ImproperlyConfigured(
            f"{name} must be redis://:password@host:port/number."
        )
    return value


def folder(name: str, default: Path) -> Path:
    """A folder to write to, made if it is not there."""
    path = Path(text(name, str(default)))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name} must be a folder to write to, not {path} ({error.strerror})."
        ) from error
    return path


def kept_secret(name: str, path: Path) -> str:
    """The secret from the environment, else one made at the first start and kept in `path`."""
    value = secret(name)
    if value:
        return value
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name} is not set and cannot be kept in {path} ({error.strerror})."
        ) from error
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(48))
    return path.read_text().strip()
