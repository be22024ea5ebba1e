"""Verifies AK/SK signatures on the request as it was received."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from ..server import Request, query_pairs
from ..state.clock import parse_basic

ORDINARY, DERIVED = "SDK-HMAC-SHA256", "V11-HMAC-SHA256"
SERVICE = "iotdm"
TOLERANCE = 15 * 60

_HEADER = re.compile(
    rf"({ORDINARY}|{DERIVED}) (?:Access|Credential)=([^,\s]+), *"
    r"SignedHeaders=([^,\s]+), *Signature=([0-9a-f]+)"
)


class BadSignature(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Signature:
    algorithm: str
    ak: str
    scope: str  # empty for the ordinary algorithm
    signed_headers: list[str]
    value: str

    @classmethod
    def read(cls, header: str) -> "Signature":
        match = _HEADER.fullmatch(header)
        if match is None:
            raise BadSignature("the Authorization header cannot be read")
        algorithm, credential, signed, value = match.groups()
        ak, _, scope = credential.partition("/")
        return cls(algorithm, ak, scope, signed.split(";"), value)


def verify(
    signature: Signature, request: Request, ak: str, sk: str, region: str
) -> None:
    date = request.headers.get("x-sdk-date", "")
    signed_at = parse_basic(date)
    if signed_at is None or abs(signed_at - request.now) > TOLERANCE:
        raise BadSignature("X-Sdk-Date is missing or too far from the server's time")
    # Live clients sign nothing but this (huaweicloud-open-mcp on PyPI).
    if "x-sdk-date" not in signature.signed_headers:
        raise BadSignature("x-sdk-date must be signed")
    if not hmac.compare_digest(signature.ak.encode(), ak.encode()):
        raise BadSignature("the access key is not known")
    digest = hashlib.sha256(
        _canonical(request, signature.signed_headers).encode()
    ).hexdigest()
    key, lines = sk, [signature.algorithm, date, digest]
    if signature.algorithm == DERIVED:
        scope = f"{date[:8]}/{region}/{SERVICE}"
        if signature.scope != scope:
            raise BadSignature(f"the credential scope must be {scope}")
        key, lines = (
            _derived_key(ak, sk, scope),
            [signature.algorithm, date, scope, digest],
        )
    expected = _hmac(key.encode(), "\n".join(lines).encode()).hex()
    if not hmac.compare_digest(expected, signature.value):
        raise BadSignature("the signature does not match the request")


def _canonical(request: Request, signed_headers: list[str]) -> str:
    path = "/".join(
        quote(part, safe="~") for part in unquote(request.raw_path).split("/")
    )
    headers = "".join(
        f"{name}:{request.headers.get(name, '').strip()}\n" for name in signed_headers
    )
    return "\n".join(
        [
            request.method,
            path if path.endswith("/") else path + "/",
            _canonical_query(request.raw_query),
            headers,
            ";".join(signed_headers),
            _payload_hash(request),
        ]
    )


def _canonical_query(raw: str) -> str:
    # A plus sign is no space here: a client that signs a space sends %20.
    pairs = sorted(query_pairs(raw))
    return "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs
    )


def _payload_hash(request: Request) -> str:
    given = request.headers.get("x-sdk-content-sha256")
    return given if given and request.body else hashlib.sha256(request.body).hexdigest()


def _derived_key(ak: str, sk: str, scope: str) -> str:
    """Return one block of HKDF-SHA256 as lower-case hexadecimal text."""
    return _hmac(_hmac(ak.encode(), sk.encode()), scope.encode() + b"\x01").hex()


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
