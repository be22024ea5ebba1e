"""One spelling for what is hashed, whichever database it was read from."""

import json
from typing import Any

from django.db import models

encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class CanonicalJson(models.TextField[Any, Any]):
    """JSON as text: a database's own JSON type would spell it anew."""

    def from_db_value(self, value: str | None, *_: Any) -> Any:
        return None if value is None else json.loads(value)

    def to_python(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str:
        return encode(value)


def clean(value: Any) -> Any:
    """What was sent may hold anything: no database stores half a surrogate pair, PostgreSQL no NUL."""
    match value:
        case str():
            return value.replace("\0", "").encode("utf-8", "replace").decode()
        case dict():
            return {clean(key): clean(each) for key, each in value.items()}
        case list() | tuple():
            return [clean(each) for each in value]
        case _:
            return value
