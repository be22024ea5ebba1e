"""Credentials: they edit a request and know no client; no repr shows a secret."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

from . import signing
from .arguments import checked_choice, checked_header

TOKEN_HEADER = "X-Auth-Token"  # noqa: S105 - a header's name
SIGNED_HEADERS = (
    "Host",
    "Content-Type",
    "Instance-Id",
    "X-Project-Id",
    "X-Sdk-Date",
    "X-Security-Token",
)

# Part of the host of a standard or enterprise instance. Such a host refuses the
# ordinary signature with IOTDA.000002.
INSTANCE_LABEL = ".iotda-app."


class StaticToken(AuthBase):
    """A token from elsewhere, sent as X-Auth-Token.

    It is valid for 24 hours and is not renewed: a 401 raises Unauthorized. A token
    that no header can carry raises ValueError.
    """

    def __init__(self, token: str) -> None:
        self._token = checked_header(token, "the token")

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers[TOKEN_HEADER] = self._token
        return request


@dataclass(frozen=True, repr=False)
class AkSk(AuthBase):
    """An access key pair. It signs each request and is never renewed.

    region          for the derived signature; by default read from an instance's host
    security_token  of temporary credentials; sent as X-Security-Token and signed
    signature       "sdk" (SDK-HMAC-SHA256) for regional hosts, "derived"
                    (V11-HMAC-SHA256) for instance hosts, or "auto": derived if the
                    host contains ``.iotda-app.``, as Huawei's Terraform provider does

    IoTDA's gateway accepts clocks within 15 minutes of its own. Wrong arguments raise
    ValueError.
    """

    access_key: str
    secret_key: str
    region: str = ""
    security_token: str = ""
    signature: Literal["auto", "sdk", "derived"] = "auto"

    def __post_init__(self) -> None:
        checked_header(self.access_key, "the access key")
        if not self.secret_key:
            raise ValueError("the secret key is empty")
        if self.security_token:
            checked_header(self.security_token, "the security token")
        checked_choice(self.signature, ("auto", "sdk", "derived"), "signature")

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        parts = urlsplit(str(request.url))
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        # Send exactly the query that is signed: requests encodes a space as + and does
        # not encode an asterisk.
        request.url = parts._replace(query=signing.canonical_query(pairs)).geturl()
        request.headers["Host"] = parts.netloc.rpartition("@")[2]
        request.headers["X-Sdk-Date"] = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        if self.security_token:
            request.headers["X-Security-Token"] = self.security_token
        signed = {name: request.headers.get(name, "") for name in SIGNED_HEADERS}
        body = request.body or b""
        region = self.region_for(parts.hostname or "")
        request.headers["Authorization"] = signing.authorization(
            signing.Key(self.access_key, self.secret_key, region),
            str(request.method),
            parts.path or "/",
            pairs,
            {name: str(value) for name, value in signed.items() if value},
            body.encode() if isinstance(body, str) else bytes(body),
        )
        return request

    def region_for(self, host: str) -> str:
        """Return the region of the derived signature, "" for the ordinary one.

        Raises ValueError if the derived signature has no region.
        """
        instance = INSTANCE_LABEL in host
        if self.signature == "sdk" or (self.signature == "auto" and not instance):
            return ""
        region = self.region or host.partition(INSTANCE_LABEL)[2].partition(".")[0]
        if not region:
            raise ValueError("the derived signature needs a region")
        return region
