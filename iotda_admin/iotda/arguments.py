"""Checks of what a caller passes in, before any I/O."""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from .errors import UnsafeId

_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def checked(value: str, what: str) -> str:
    """Return the id; raise UnsafeId unless it is safe in a URL and a body.

    The rule is that of device ids, the widest of the API's: 1 to 128 letters, digits,
    ``_`` and ``-``. Such an id needs no escaping in a URL.
    """
    # fullmatch: `$` would allow a trailing newline.
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise UnsafeId(f"not a valid {what}: {str(value)[:140]!r}")
    return value


def checked_list(values: Collection[str], limit: int, what: str) -> list[str]:
    """Return 1 to `limit` distinct ids in their order; raise ValueError otherwise."""
    if isinstance(values, str):
        raise TypeError(f"{what}s must be a list of ids, not one string")
    ids = [checked(value, what) for value in values]
    if not 1 <= len(ids) <= limit:
        raise ValueError(f"{len(ids)} {what}s in one call; IoTDA takes 1 to {limit}")
    if len(set(ids)) != len(ids):
        raise ValueError(f"a {what} is repeated in one call")
    return ids


def checked_choice(value: str, choices: Collection[str], what: str) -> str:
    """Return the value; raise ValueError unless it is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{what} is one of {', '.join(choices)}, not {value!r}")
    return value


def checked_header(value: str, what: str) -> str:
    """Return the value; raise ValueError unless an HTTP header can carry it."""
    if not value or not value.isascii() or not value.isprintable():
        raise ValueError(f"{what} is empty or has characters not allowed in a header")
    return value


def checked_endpoint(endpoint: str) -> str:
    """Return `endpoint` without a trailing slash; raise ValueError if it is unsafe.

    https is required, except for this machine.
    """
    parts = urlsplit(endpoint)
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if extra or not parts.hostname:
        raise ValueError(
            f"an endpoint is a scheme and a host, like https://host, not {endpoint!r}"
        )
    plain = parts.scheme == "http" and _LOOPBACK.fullmatch(parts.hostname)
    if parts.scheme != "https" and not plain:
        raise ValueError(f"credentials are sent over https only, not to {endpoint!r}")
    return f"{parts.scheme}://{parts.netloc}"
