"""Reads query parameters."""

from collections.abc import Collection, Mapping

from ..state.clock import parse_basic
from .errors import invalid_input, invalid_time


def read_text(query: Mapping[str, str], name: str, max_length: int) -> str | None:
    value = query.get(name)
    if value and len(value) > max_length:
        raise invalid_input(f"{name} must have at most {max_length} characters.")
    return value or None  # assumed: an empty parameter is no filter


def read_choice(
    query: Mapping[str, str], name: str, allowed: Collection[str]
) -> str | None:
    value = query.get(name)
    if value and value not in allowed:
        raise invalid_input(f"{name} must be one of {', '.join(allowed)}.")
    return value or None


def read_time(query: Mapping[str, str], name: str) -> float | None:
    value = query.get(name)
    if not value:
        return None
    seconds = parse_basic(value)
    if seconds is None:
        raise invalid_time(name)
    return seconds
