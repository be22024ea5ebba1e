"""Signs requests with the vendor's SDK."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@contextmanager
def temporary_home() -> Iterator[None]:
    """Keep the vendor's SDK from writing an ID to the home directory on import."""
    home, os.environ["HOME"] = os.environ.get("HOME", ""), tempfile.mkdtemp()
    try:
        yield
    finally:
        os.environ["HOME"] = home


with temporary_home():
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.sdk_request import SdkRequest
    from huaweicloudsdkcore.signer.signer import DerivationAKSKSigner, Signer


def sign(
    method: Any,
    url: Any,
    algorithm: str = "SDK-HMAC-SHA256",
    at: Any = None,
    ak: str = "DEMOAK",
    sk: str = "DEMOSK",
    body: str = "",
    **scope: Any,
) -> Any:
    parts = urlsplit(url)
    when = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    request = SdkRequest(
        method=method,
        schema=parts.scheme,
        host=parts.netloc,
        resource_path=parts.path,
        query_params=parse_qsl(parts.query, keep_blank_values=True),
        header_params={"X-Sdk-Date": when, "X-Project-Id": "signed-too"},
        body=body,
        stream=False,
        signing_algorithm=None,
    )
    credentials = BasicCredentials(ak, sk)
    if algorithm == "SDK-HMAC-SHA256":
        return Signer(credentials).sign(request).header_params
    scope = {"service": "iotdm", "region": "cn-north-4"} | scope
    return (
        DerivationAKSKSigner(credentials)
        .sign(request, scope["service"], scope["region"])
        .header_params
    )
