"""JSON documents: a strict parser that drops secrets, and typed access to the fields.

Text stays as IoTDA sent it: escape it for display. Only NUL and lone surrogates, which
databases refuse, become U+FFFD; a value of another type becomes its JSON. So no odd
value turns into another ID. Times stay text. Unknown keys are ignored.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache, partial
from typing import Any, Never, Self, cast, get_args

Json = dict[str, Any]
type Build[T] = Callable[[Json], T]  # makes an object of a document
# Gets what is wrong with a row of a list, and the row, which is left out.
type Skip = Callable[[str, Any], None]

# Python refuses to read or write longer integers. They stay text.
DIGITS_LIMIT = 4000
UNSTORABLE = re.compile("[\0\ud800-\udfff]")

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
            body.decode(),
            object_pairs_hook=_pairs,
            parse_constant=_no_constant,
            parse_int=_integer,
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
    if SECRET_KEYS.isdisjoint(document):
        return document
    return {key: value for key, value in document.items() if key not in SECRET_KEYS}


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= DIGITS_LIMIT else digits


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
    value: Any = document.get(key)
    if type(value) is not kind:  # isinstance would accept a bool as an int
        raise Malformed(f"{key} is missing or not {kind.__name__}")
    return value


def get_value[T](document: Json, key: str, kind: type[T]) -> T:
    """Return a value, the empty one of its type if it is absent or of another type."""
    value: Any = document.get(key)
    return value if type(value) is kind else kind()


def need_text(document: Json, key: str) -> str:
    """Return a required string; raise Malformed if it is missing or empty.

    It is an ID: one that a database cannot store is refused, too.
    """
    value = need(document, key, str)
    if not value or clean_text(value) != value:
        raise Malformed(f"{key} is missing or not str")
    return value


def get_text(document: Json, key: str) -> str:
    """Return a value as text; "" if it is absent or null."""
    value = document.get(key, "")
    if isinstance(value, str) and value.isprintable():
        return value  # nothing to replace: the usual case is quick
    return text_of(value)


def get_texts(document: Json, keys: Collection[str]) -> list[str]:
    """Return what `get_text` returns for each key; it looks at all texts at once."""
    found = [document.get(key, "") for key in keys]
    try:
        plain = "".join(found).isprintable()
    except TypeError:  # one is not a string
        plain = False
    return found if plain else [get_text(document, key) for key in keys]


def text_of(value: Any) -> str:
    """Return a string as it is, null as "", and any other value as JSON."""
    if isinstance(value, str):
        return clean_text(value)
    return "" if value is None else clean_text(json.dumps(value, ensure_ascii=False))


def clean_text(value: str) -> str:
    """Replace NUL and lone surrogates: JSON can spell them, databases refuse them.

    They stay visible: without them, an odd ID could become the ID of something else.
    """
    return UNSTORABLE.sub("\ufffd", value)


def need_list[T](document: Json, key: str, kind: type[T]) -> list[T]:
    """Return a required list of values of one type; raise Malformed otherwise."""
    values = need(document, key, list)
    if any(type(value) is not kind for value in values):
        raise Malformed(f"{key} contains something that is not {kind.__name__}")
    return values


def need_rows[T](
    document: Json, key: str, build: Build[T], skip: Skip | None = None
) -> tuple[T, ...]:
    """Build each object of a required list.

    One that is not an object or cannot be built goes to `skip`; without that, raise
    Malformed.
    """
    if skip is None:
        return tuple(map(build, need_list(document, key, dict)))
    rows = []
    for value in need(document, key, list):
        try:
            if not isinstance(value, dict):
                raise Malformed("a row is not an object")
            rows.append(build(value))
        except Malformed as exc:
            skip(str(exc), value)
    return tuple(rows)


def about[T](build: Build[T], **requested: str) -> Build[T]:
    """Return `build` that raises Malformed for an answer about something else.

    A gateway or a cache can mix answers up; such an answer is none.
    """

    def build_same(document: Json) -> T:
        found = build(document)
        for name, value in requested.items():
            require_same(name, getattr(found, name), value)
        return found

    return build_same


def require_same(name: str, found: str, requested: str) -> None:
    """Raise Malformed for another value; one that the answer leaves out is none."""
    if found not in ("", requested):
        raise Malformed(f"the answer is about another {name}")


def require_requested(found: Iterable[str], requested: Collection[str]) -> None:
    """Raise Malformed if one of these targets was not requested."""
    if not set(found) <= set(requested):
        raise Malformed("the answer is about other targets")


@dataclass(frozen=True, slots=True)
class FromJson:
    """A dataclass with a document's keys as its fields; their types say how to read it.

    str            required and not empty, unless the field has a default: then any
                   value, as text
    int, bool      0 or False if absent or of another type
    tuple[T, ...]  the objects of a list, each a FromJson; () if it is absent. A value
                   of another type is one: T.from_other says how it is shown
    other          a nested object, a FromJson
    """

    @classmethod
    def from_json(cls, document: Json) -> Self:
        # mypy takes the class for one of its objects.
        readers = _readers(cls)  # type: ignore[arg-type]
        return cls(*[read(document, key) for key, read in readers])

    @classmethod
    def from_other(cls, value: Any) -> Self:
        """Return an object that shows a value which is not an object."""
        raise Malformed("a value is not an object")


type Read = Callable[[Json, str], Any]  # a value of a document by its key


@cache
def _readers(cls: type[FromJson]) -> list[tuple[str, Read]]:
    return [(field.name, _reader(field)) for field in fields(cls)]


def _reader(field: Field[Any]) -> Read:
    kind = cast(Any, field.type)
    if kind is str:
        return need_text if field.default is MISSING else get_text
    if kind in (int, bool):
        return partial(get_value, kind=kind)
    if rows := get_args(kind):
        return partial(get_objects, kind=rows[0])
    return lambda document, key: kind.from_json(get_value(document, key, dict))


def get_objects[T: FromJson](document: Json, key: str, kind: type[T]) -> tuple[T, ...]:
    """Return the objects of a list; see ``FromJson``."""
    values = document.get(key)
    if not values:
        return ()
    return tuple(
        kind.from_json(each) if isinstance(each, dict) else kind.from_other(each)
        for each in (values if isinstance(values, list) else [values])
    )
