"""One text form for the data that is hashed, the same from every database."""

import json
from typing import Any

from django.db import models

python_encoder = json.JSONEncoder(separators=(",", ":"), sort_keys=True)
# ``python_encoder.encode`` would create this encoder for each value, which makes the
# verification of a long trail take half as long again. Some Pythons do not have it.
c_make_encoder = getattr(json.encoder, "c_make_encoder", None)
c_encoder = c_make_encoder and c_make_encoder(
    None,
    python_encoder.default,
    json.encoder.encode_basestring_ascii,
    None,
    ":",
    ",",
    True,
    False,
    True,
)

# For files: text in every language can be read and searched in them.
readable_json = json.JSONEncoder(ensure_ascii=False).encode


def canonical_json(value: Any) -> str:
    return "".join(c_encoder(value, 0)) if c_encoder else python_encoder.encode(value)


class CanonicalJson(models.TextField):  # type: ignore[type-arg]
    """JSON stored as text, because a JSON column would not keep the text as written."""

    def from_db_value(self, value: str, *_: Any) -> Any:
        return json.loads(value)

    def get_prep_value(self, value: Any) -> str:
        return canonical_json(value)


def storable(value: Any) -> Any:
    """Return a value without what databases cannot store: NUL and lone surrogates."""
    match value:
        case str() if value.isprintable():
            return str(value)  # neither is printable, and this test is quick
        case str():
            return value.replace("\0", "").encode("utf-8", "replace").decode()
        case dict():
            return {storable(key): storable(item) for key, item in value.items()}
        case list() | tuple():
            return [storable(item) for item in value]
    return value
