"""From the text of an answer to a document: JSON, but stricter, and without secrets."""

import json
from typing import Any, Never

from .fields import Json, Malformed

# ShowDevice answers with a device's credentials. They are dropped while the text is parsed, so that no
# object, log line, traceback or error report of ours can show them.
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


def parse(body: bytes) -> tuple[Json, str]:
    """The document and "", or {} and what is wrong. Not an exception: json's would carry the whole text."""
    try:
        document = json.loads(
            body.decode(), object_pairs_hook=_pairs, parse_constant=_no_constant
        )
    except Malformed as exc:
        return {}, str(exc)
    except (ValueError, RecursionError):
        return {}, "the body is not JSON" if body else "the body is empty"
    return (
        (document, "")
        if isinstance(document, dict)
        else ({}, "the body is not a JSON object")
    )


def _pairs(pairs: list[tuple[str, Any]]) -> Json:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise Malformed("a key is repeated")
    if not SECRET_KEYS.isdisjoint(document):
        return {key: value for key, value in pairs if key not in SECRET_KEYS}
    return document


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def code_and_message(document: Json) -> tuple[str, str]:
    """IoTDA's and the gateway's spelling, the SDK's other spellings, and IAM's one level deeper."""
    for layer in (
        document,
        *(value for value in document.values() if isinstance(value, dict)),
    ):
        for code, message in (
            ("error_code", "error_msg"),
            ("errorCode", "errorMsg"),
            ("code", "message"),
        ):
            if isinstance(layer.get(code), str | int):
                said = layer.get(message)
                return str(layer[code]), said if isinstance(said, str) else ""
    return "", ""
