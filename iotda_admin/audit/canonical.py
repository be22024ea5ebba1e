"""One spelling for what is hashed, whichever database it was read from."""

import json
from typing import Any

from django.db import models

slowly = json.JSONEncoder(separators=(",", ":"), sort_keys=True)
# The encoder in C that `slowly` would make anew for each value: verifying a long trail would take
# half as long again. None on a Python without it.
make = getattr(json.encoder, "c_make_encoder", None)
quickly = make and make(
    None,
    slowly.default,
    json.encoder.encode_basestring_ascii,
    None,
    ":",
    ",",
    True,
    False,
    True,
)


def canonical_json(value: Any) -> str:
    return "".join(quickly(value, 0)) if quickly else slowly.encode(value)


class CanonicalJson(models.TextField[Any, Any]):
    """JSON as text: a database's own JSON type would spell it anew."""

    def from_db_value(self, value: str | None, *_: Any) -> Any:
        return None if value is None else json.loads(value)

    def to_python(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str:
        return canonical_json(value)


def storable(value: Any) -> Any:
    """What was sent may hold anything: no database stores half a surrogate pair, PostgreSQL no NUL."""
    match value:
        case str():
            value = value.replace("\0", "")
            return (
                value if value.isascii() else value.encode("utf-8", "replace").decode()
            )
        case dict():
            return {storable(key): storable(each) for key, each in value.items()}
        case list() | tuple():
            return [storable(each) for each in value]
        case _:
            return value
