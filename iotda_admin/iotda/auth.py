"""Credentials: objects that edit a request. They know no client, and none shows a secret in its repr."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, Protocol, Self, runtime_checkable
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.auth import AuthBase

from . import signing

TOKEN_HEADER = "X-Auth-Token"  # noqa: S105 - a header's name
SIGNED_HEADERS = ("Content-Type", "Instance-Id", "X-Project-Id")

# The host of a standard or enterprise instance; the ordinary signature is refused there with IOTDA.000002.
INSTANCE_LABEL = ".iotda-app."


@runtime_checkable
class Renewable(Protocol):
    """Credentials that can be replaced when they are refused."""

    def renew(self, refused: requests.PreparedRequest) -> None:
        """Have other credentials than those of `refused`; IotdaError when there are none to be had."""


def header_safe(value: str, what: str) -> str:
    if not value or not value.isascii() or not value.isprintable():
        raise ValueError(
            f"{what} is empty or holds characters that no header can carry"
        )
    return value


class StaticToken(AuthBase):
    """A token obtained elsewhere, sent as X-Auth-Token. It ends after 24 hours, and a 401 is then final."""

    def __init__(self, token: str) -> None:
        self._token = header_safe(token, "the token")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[TOKEN_HEADER] = self._token
        return request

    def __repr__(self) -> str:
        return "StaticToken(…)"


@dataclass(frozen=True)
class AkSk(AuthBase):
    """An access key pair; nothing to renew.

    signature  "sdk" (SDK-HMAC-SHA256, regional hosts), "derived" (V11-HMAC-SHA256, instance hosts), or
    "auto":
               by host, derived where it holds ``.iotda-app.`` (the rule Huawei's Terraform provider uses)
    region     needed for the derived signature; read from an instance's host when left out
    security_token  of temporary credentials, sent as X-Security-Token and signed

    The gateway accepts clocks within 15 minutes of its own.
    """

    access_key: str
    secret_key: str = field(repr=False)
    region: str = ""
    security_token: str = field(default="", repr=False)
    signature: Literal["auto", "sdk", "derived"] = "auto"
    clock: Callable[[], datetime] = field(
        default=lambda: datetime.now(UTC), repr=False, compare=False
    )

    def __post_init__(self) -> None:
        header_safe(self.access_key, "the access key")
        if not self.secret_key:
            raise ValueError("the secret key is empty")
        if self.security_token:
            header_safe(self.security_token, "the security token")
        if self.signature not in ("auto", "sdk", "derived"):
            raise ValueError(
                f"signature is auto, sdk or derived, not {self.signature!r}"
            )

    def with_region(self, region: str) -> Self:
        return self if self.region else replace(self, region=region)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        parts = urlsplit(str(request.url))
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        # Send exactly the query that is signed: requests would send a space as + and leave an asterisk alone.
        request.url = parts._replace(query=signing.canonical_query(pairs)).geturl()
        request.headers["Host"] = parts.netloc.rpartition("@")[2]
        request.headers["X-Sdk-Date"] = self.clock().strftime(signing.DATE_FORMAT)
        names = [
            "Host",
            "X-Sdk-Date",
            *(name for name in SIGNED_HEADERS if name in request.headers),
        ]
        if self.security_token:
            request.headers["X-Security-Token"] = self.security_token
            names.append("X-Security-Token")
        body = request.body or b""
        request.headers["Authorization"] = signing.authorization(
            signing.Key(
                self.access_key, self.secret_key, self.region_for(parts.hostname or "")
            ),
            str(request.method),
            parts.path or "/",
            pairs,
            {name: str(request.headers[name]) for name in names},
            body.encode() if isinstance(body, str) else bytes(body),
        )
        return request

    def region_for(self, host: str) -> str:
        """The region to derive the key for, "" for the ordinary signature."""
        if self.signature == "sdk" or (
            self.signature == "auto" and INSTANCE_LABEL not in host
        ):
            return ""
        region = self.region or host.partition(INSTANCE_LABEL)[2].partition(".")[0]
        if not region:
            raise ValueError("the derived signature needs a region")
        return region
