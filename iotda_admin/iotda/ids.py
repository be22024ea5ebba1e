"""Ids that go into a URL path or a request body."""

import re
from collections.abc import Collection

from .errors import InvalidId

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def checked(value: str, what: str = "id") -> str:
    """The id itself, or InvalidId.

    The device id's rule (1 to 128 of letters, digits, ``_`` and ``-``) is the widest of the API's id rules,
    so it serves for all; nothing it lets through needs escaping in a URL.
    """
    # fullmatch: `$` would let a trailing newline pass.
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InvalidId(f"not a valid {what}: {str(value)[:140]!r}")
    return value


def checked_list(values: Collection[str], limit: int, what: str) -> list[str]:
    """1 to `limit` different ids, in their order; ValueError for another number or a repetition."""
    if isinstance(values, str):
        raise TypeError(f"{what}s must be a list of ids, not one string")
    ids = [checked(value, what) for value in values]
    if not 1 <= len(ids) <= limit:
        raise ValueError(f"{len(ids)} {what}s in one call; IoTDA takes 1 to {limit}")
    if len(set(ids)) != len(ids):
        raise ValueError(f"a {what} is repeated in one call")
    return ids
