"""JSON documents: a strict parser that drops secrets, and typed access to the fields.

Strings lose NUL and lone surrogates, which databases refuse, and stay as IoTDA sent
them otherwise: escape them for display. Times stay text. Unknown keys are ignored.
"""

import json
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, Never, Self, get_args

Json = dict[str, Any]

# ShowDevice returns a device's credentials. The parser drops them, so that no object,
# log line, traceback or error report of ours can show them.
SECRET_KEYS = frozenset(
    {
        "secret",
        "secondary_secret",
        "fingerprint",
        "secondary_fingerprint",
        "encoded_authorization_message",
    }
)
ERROR_KEYS = frozenset({"error_code", "errorCode", "error"})
# The spellings of IoTDA and its gateway, of the SDK, and of IAM (one level deeper).
ERROR_SPELLINGS = (
    ("error_code", "error_msg"),
    ("errorCode", "errorMsg"),
    ("code", "message"),
)


class Malformed(ValueError):
    """A document without a required field. The text names keys and types, no values."""


def parse_document(body: bytes) -> tuple[Json, str]:
    """Return the document and "", or {} and the problem.

    It raises nothing: an exception of the json module would carry the whole text.
    """
    try:
        document = json.loads(
            body.decode(), object_pairs_hook=_pairs, parse_constant=_no_constant
        )
    except Malformed as exc:
        return {}, str(exc)
    except (ValueError, RecursionError):
        return {}, "the body is not JSON" if body else "the body is empty"
    if not isinstance(document, dict):
        return {}, "the body is not a JSON object"
    return document, ""


def _pairs(pairs: list[tuple[str, Any]]) -> Json:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise Malformed("a key is repeated")
    return {key: value for key, value in document.items() if key not in SECRET_KEYS}


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def code_and_message(document: Json) -> tuple[str, str]:
    """Return the error's code and message, "" for what is missing."""
    nested = (value for value in document.values() if isinstance(value, dict))
    for layer in (document, *nested):
        for code, message in ERROR_SPELLINGS:
            if isinstance(layer.get(code), str | int):
                found = layer.get(message)
                return str(layer[code]), found if isinstance(found, str) else ""
    return "", ""


def need[T](document: Json, key: str, kind: type[T]) -> T:
    """Return a required value; raise Malformed if it is missing or of another type."""
    value = document.get(key)
    # bool is a subclass of int.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Malformed(f"{key} is missing or not {kind.__name__}")
    return value


def need_text(document: Json, key: str) -> str:
    """Return a required string; raise Malformed if it is missing or empty."""
    value = get_text(document, key)
    if not value:
        raise Malformed(f"{key} is missing or not str")
    return value


def get_text(document: Json, key: str) -> str:
    """Return a string; "" if it is absent, null or of another type."""
    value = document.get(key)
    return clean_text(value) if isinstance(value, str) else ""


def clean_text(value: str) -> str:
    """Remove NUL and lone surrogates: JSON can spell them, databases refuse them."""
    return value.encode("utf-8", "replace").decode().replace("\x00", "")


def get_number(document: Json, key: str) -> int:
    """Return an integer; 0 if it is absent, null or of another type."""
    value = document.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def need_strings(document: Json, key: str) -> tuple[str, ...]:
    """Return a required list of strings; raise Malformed otherwise."""
    values = need(document, key, list)
    if not all(isinstance(value, str) for value in values):
        raise Malformed(f"{key} contains something that is not str")
    return tuple(values)


def need_rows[T](document: Json, key: str, build: Callable[[Json], T]) -> tuple[T, ...]:
    """Build each object of a required list; raise Malformed if one is not an object."""
    return tuple(build(_object(row, key)) for row in need(document, key, list))


def get_rows[T](document: Json, key: str, build: Callable[[Json], T]) -> tuple[T, ...]:
    """Build each object of a list; () if it is absent or empty."""
    return need_rows(document, key, build) if document.get(key) else ()


def get_section(document: Json, key: str) -> Json:
    """Return a nested object; {} if it is absent, null or of another type."""
    value: Any = document.get(key)
    return value if isinstance(value, dict) else {}


def _object(row: Any, key: str) -> Json:
    if not isinstance(row, dict):
        raise Malformed(f"{key} contains something that is not an object")
    return row


class FromJson:
    """A dataclass with a document's keys as its fields; their types say how to read it.

    str            required and not empty, unless the field has a default
    int, bool      0 or False if absent or of another type
    tuple[T, ...]  the objects of a list, each a FromJson; () if it is absent
    other          a nested object, a FromJson
    """

    __slots__ = ()

    @classmethod
    def from_json(cls, document: Json) -> Self:
        own: Any = cls  # a dataclass, which Self cannot say
        return cls(**{field.name: _value(document, field) for field in fields(own)})


def _value(document: Json, field: Field[Any]) -> Any:
    key, kind = field.name, field.type
    if kind is str:
        read = need_text if field.default is MISSING else get_text
        return read(document, key)
    if kind is int:
        return get_number(document, key)
    if kind is bool:
        return document.get(key) is True
    if rows := get_args(kind):
        return get_rows(document, key, rows[0].from_json)
    return kind.from_json(get_section(document, key))  # type: ignore[union-attr]
