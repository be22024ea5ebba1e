"""Huawei Cloud's two request signatures, as pure functions.

They equal `Signer` and `DerivationAKSKSigner` of huaweicloudsdkcore 3.1.219; property
tests compare them.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

SDK_ALGORITHM = "SDK-HMAC-SHA256"
DERIVED_ALGORITHM = "V11-HMAC-SHA256"
SERVICE = "iotdm"


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """An access key pair; with a `region` it makes the derived signature."""

    access_key: str
    secret_key: str
    region: str = ""


def encoded(text: str) -> str:
    """Percent-encode all but letters, digits and ``_.-~``."""
    return quote(text, safe="~")


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the query string to sign and to send: %20 for a space, %2A for ``*``."""
    return "&".join(f"{encoded(key)}={encoded(value)}" for key, value in sorted(pairs))


@lru_cache(maxsize=256)
def canonical_path(path: str) -> str:
    """Return the path with encoded segments and the final slash of the signature."""
    canonical = "/".join(encoded(segment) for segment in unquote(path).split("/"))
    return canonical if canonical.endswith("/") else canonical + "/"


def authorization(
    key: Key,
    method: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    body: bytes,
) -> str:
    """Return the value of the Authorization header.

    `headers` are the headers to sign, Host and X-Sdk-Date (UTC, like 20260314T081500Z)
    among them. The signature omits names with an underscore.
    """
    signed = {
        name.lower(): value.strip()
        for name, value in sorted(headers.items(), key=lambda item: item[0].lower())
        if "_" not in name
    }
    names = ";".join(signed)
    lines = (
        method.upper(),
        canonical_path(path),
        canonical_query(query),
        *(f"{name}:{value}" for name, value in signed.items()),
        "",
        names,
        _payload_hash(signed, body),
    )
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    owner, signature = _signature(key, signed["x-sdk-date"], digest)
    return f"{owner}, SignedHeaders={names}, Signature={signature}"


def _signature(key: Key, date: str, digest: str) -> tuple[str, str]:
    """Return the algorithm with the key's name, and the signature of a request."""
    algorithm, secret, stamp = SDK_ALGORITHM, key.secret_key, date
    owner = f"Access={key.access_key}"
    if key.region:
        scope = f"{date[:8]}/{key.region}/{SERVICE}"
        secret, stamp = _derived(key, scope), f"{date}\n{scope}"
        algorithm, owner = DERIVED_ALGORITHM, f"Credential={key.access_key}/{scope}"
    message = f"{algorithm}\n{stamp}\n{digest}"
    signature = hmac.new(secret.encode(), message.encode(), "sha256").hexdigest()
    return f"{algorithm} {owner}", signature


def _payload_hash(signed: Mapping[str, str], body: bytes) -> str:
    if body and "x-sdk-content-sha256" in signed:
        return signed["x-sdk-content-sha256"]
    return hashlib.sha256(body).hexdigest()


def _derived(key: Key, scope: str) -> str:
    """Return one block of HKDF-SHA256 (RFC 5869).

    The access key is the salt, the secret key the secret, the scope the info.
    """
    extracted = hmac.digest(key.access_key.encode(), key.secret_key.encode(), "sha256")
    return hmac.digest(extracted, scope.encode() + b"\x01", "sha256").hex()
