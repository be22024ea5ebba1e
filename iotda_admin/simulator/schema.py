"""Builds dataclasses from JSON documents and checks every value.

The type hints are the schema: str, int, float, bool, None, Any, Literal, unions, lists,
tuples, dicts and dataclasses; Annotated adds a Check.
"""

import math
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)


class SchemaError(Exception):
    """A document does not match its schema; the text names the field."""


class NotJson(SchemaError):
    pass


class NoExtraKeys:
    """Base of the dataclasses that refuse unknown keys. The others ignore them."""


@dataclass(frozen=True)
class Check:
    holds: Callable[[Any], bool]
    message: str


def between(low: float, high: float = math.inf) -> Check:
    return Check(lambda value: low <= value <= high, f"must be from {low} to {high}")


def length(low: float, high: float = math.inf) -> Check:
    return Check(
        lambda value: low <= len(value) <= high, f"must have from {low} to {high} items"
    )


def pattern(text: str) -> Check:
    return Check(lambda value: bool(re.fullmatch(text, value)), f"must match {text}")


def parse[Model](model: type[Model], document: Any) -> Model:
    """Build a dataclass from a decoded JSON document. Raises SchemaError."""
    return cast(Model, _value(model, document, ""))


def _value(hint: Any, value: Any, name: str) -> Any:
    if hint is Any or type(value) is hint:
        return value
    if is_dataclass(hint):
        return _object(cast(type, hint), value, name)
    if hint is float and type(value) is int:
        return float(value)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _checked(_value(arguments[0], value, name), arguments[1:], name)
    if origin in (Union, UnionType):
        return _any_of(arguments, value, name)
    if origin is list and isinstance(value, list):
        return [_value(arguments[0], item, name) for item in value]
    if origin is tuple and isinstance(value, list) and len(value) == len(arguments):
        pairs = zip(arguments, value, strict=True)
        return tuple(_value(kind, item, name) for kind, item in pairs)
    if origin is dict and isinstance(value, dict):
        return value
    if origin is Literal and value in arguments:
        return value
    raise SchemaError(f"{name or 'body'}: must be {_describe(hint)}")


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    return str(getattr(hint, "__name__", hint))


def _checked(value: Any, checks: tuple[Check, ...], name: str) -> Any:
    for check in checks:
        if not check.holds(value):
            raise SchemaError(f"{name}: {check.message}")
    return value


def _any_of(hints: tuple[Any, ...], value: Any, name: str) -> Any:
    *others, last = [hint for hint in hints if hint is not NoneType]
    if value is None and NoneType in hints:
        return None
    for hint in others:
        try:
            return _value(hint, value, name)
        except SchemaError:
            continue
    return _value(last, value, name)


def _object(model: type, value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise SchemaError(f"{name or 'body'}: must be an object")
    prefix, hints = f"{name}." if name else "", _hints(model)
    unknown = value.keys() - hints.keys() if issubclass(model, NoExtraKeys) else set()
    if problems := [*unknown, *(_required(model) - value.keys())]:
        problem = "is unknown" if unknown else "is required"
        raise SchemaError(f"{prefix}{min(problems)}: {problem}")
    given = {
        key: _value(hint, value[key], prefix + key)
        for key, hint in hints.items()
        if key in value
    }
    return model(**given)


@cache
def _hints(model: type) -> dict[str, Any]:
    return get_type_hints(model, include_extras=True)


@cache
def _required(model: type) -> set[str]:
    missing = (MISSING, MISSING)
    return {
        one.name
        for one in fields(model)
        if (one.default, one.default_factory) == missing
    }
