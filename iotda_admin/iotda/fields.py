"""Typed reading of JSON documents: what must be there is checked, the rest has a default."""

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]


class Malformed(ValueError):
    """A document without what it must have. The text names keys and types, never values."""


def need[T](document: Json, key: str, kind: type[T]) -> T:
    """The value of a key that must be there with this type; Malformed otherwise."""
    value = document.get(key)
    # True is an int to isinstance, never to us.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Malformed(f"{key} is missing or not {kind.__name__}")
    return value


def need_id(document: Json, key: str) -> str:
    value = text(document, key)
    if not value:
        raise Malformed(f"{key} is missing or not str")
    return value


def text(document: Json, key: str) -> str:
    """A string that can be stored and shown; "" when absent, null or of another type."""
    value = document.get(key)
    return mended(value) if isinstance(value, str) else ""


def mended(value: str) -> str:
    """JSON escapes can spell NUL and halves of surrogate pairs, which databases refuse."""
    return value.encode("utf-8", "replace").decode().replace("\x00", "")


def number(document: Json, key: str) -> int:
    value = document.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def flag(document: Json, key: str) -> bool | None:
    value = document.get(key)
    return value if isinstance(value, bool) else None


def strings(document: Json, key: str) -> tuple[str, ...]:
    values = need(document, key, list)
    if not all(isinstance(value, str) for value in values):
        raise Malformed(f"{key} holds something that is not str")
    return tuple(values)


def rows[T](document: Json, key: str, build: Callable[[Json], T]) -> tuple[T, ...]:
    """Each object of a list that must be there, built; Malformed when one is not an object."""
    return tuple(build(_object(row, key)) for row in need(document, key, list))


def optional_rows[T](
    document: Json, key: str, build: Callable[[Json], T]
) -> tuple[T, ...]:
    return rows(document, key, build) if document.get(key) else ()


def section(document: Json, key: str) -> Json:
    """An object inside; {} when absent, null or of another type."""
    value: Any = document.get(key)
    return value if isinstance(value, dict) else {}


def _object(row: Any, key: str) -> Json:
    if not isinstance(row, dict):
        raise Malformed(f"{key} holds something that is not an object")
    return row
