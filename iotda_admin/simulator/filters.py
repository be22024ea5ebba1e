"""Query parameters, checked."""

import re
from collections.abc import Collection, Mapping

from .clock import read_basic
from .errors import Refusal, invalid


def text(
    query: Mapping[str, str], name: str, longest: int, pattern: str = ""
) -> str | None:
    value = query.get(name)
    if not value:
        return None  # assumed: an empty parameter is no filter
    if len(value) > longest:
        raise invalid(f"{name} must have at most {longest} characters.")
    if pattern and not re.fullmatch(pattern, value):
        raise invalid(f"{name} has characters that are not allowed.")
    return value


def choice(query: Mapping[str, str], name: str, allowed: Collection[str]) -> str | None:
    value = query.get(name)
    if value and value not in allowed:
        raise invalid(f"{name} must be one of {', '.join(allowed)}.")
    return value or None


def moment(query: Mapping[str, str], name: str) -> float | None:
    value = query.get(name)
    if not value:
        return None
    seconds = read_basic(value)
    if seconds is None:
        raise Refusal(
            400,
            "IOTDA.000009",
            f"Invalid input. {name} must look like 20151212T121212Z.",
        )
    return seconds
