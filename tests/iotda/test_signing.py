"""The signatures equal those of the vendor's SDK, byte for byte."""

import os
import re
import string
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock
from urllib.parse import quote, unquote, urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotda_admin.iotda import AkSk, auth, signing

NOW = datetime(2026, 3, 14, 8, 15, 0, tzinfo=UTC)
INSTANCE = "https://abc.st1.iotda-app.cn-north-4.myhuaweicloud.com"
REGIONAL = "https://iotda.cn-north-4.myhuaweicloud.com"

keys = st.text(string.ascii_letters + string.digits + "/+=", min_size=1, max_size=40)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
paths = st.lists(texts, max_size=3).map(
    lambda parts: "/" + "/".join(quote(part, safe="~") for part in parts)
)
header_names = st.sampled_from(
    ["Content-Type", "X-Project-Id", "Instance-Id", "X_Odd", "User-Agent"]
)

header_values = st.one_of(
    st.sampled_from(
        [
            "application/json",
            "application/json;charset=utf8",
            "application/bson",
            "text/plain",
        ]
    ),
    st.text(string.printable.replace("\n", "").replace("\r", ""), max_size=20),
)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """The signers of huaweicloudsdkcore.

    Its import writes to the home directory, so it gets a temporary one.
    """
    home = os.environ.get("HOME")
    os.environ["HOME"] = str(tmp_path_factory.mktemp("home"))
    try:
        from huaweicloudsdkcore.auth.credentials import BasicCredentials
        from huaweicloudsdkcore.sdk_request import SdkRequest
        from huaweicloudsdkcore.signer.signer import DerivationAKSKSigner, Signer
    finally:
        if home is not None:
            os.environ["HOME"] = home

    def sign(
        region: Any,
        key: Any,
        method: Any,
        path: Any,
        query: Any,
        headers: Any,
        body: Any,
    ) -> Any:
        request = SdkRequest(
            method, "https", "h", path, None, list(query), dict(headers), body
        )
        credentials = BasicCredentials(key.access_key, key.secret_key, "p")
        if region:
            DerivationAKSKSigner(credentials).sign(request, signing.SERVICE, region)
        else:
            Signer(credentials).sign(request)
        return request

    return sign


@pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")
def test_signatures_equal_those_of_the_vendor(vendor: Callable[..., Any]) -> None:
    @settings(
        max_examples=1000,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(
        access=keys,
        secret=keys,
        method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "get"]),
        path=paths,
        query=st.lists(st.tuples(texts, texts), max_size=3),
        headers=st.dictionaries(header_names, header_values, max_size=3),
        body=st.binary(max_size=40),
    )
    def same(
        access: Any,
        secret: Any,
        method: Any,
        path: Any,
        query: Any,
        headers: Any,
        body: Any,
    ) -> None:
        headers = {**headers, "Host": "h:8080", "X-Sdk-Date": "20260314T081500Z"}
        for region in ("", "cn-north-4"):
            key = signing.Key(access, secret, region)
            theirs = vendor(region, key, method, path, query, headers, body)
            # The vendor adds a header to bodies that are not JSON: sign the same.
            extra = {
                name: value
                for name, value in theirs.header_params.items()
                if "Sha256" in name
            }
            ours = signing.authorization(
                key, method, path, query, {**headers, **extra}, body
            )
            assert ours == theirs.header_params["Authorization"]
            assert signing.canonical_query(query) == theirs.uri.partition("?")[2]

    same()


def prepared(url: Any, auth: Any, **options: Any) -> Any:
    return requests.Request("GET", url, auth=auth, **options).prepare()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=4))
def test_the_signed_query_is_the_one_sent(query: Any) -> None:
    keys = AkSk("AK", "SK")
    sent = urlsplit(prepared(REGIONAL + "/v5/iot/p/devices", keys, params=query).url)
    assert sent.query == signing.canonical_query(query)


def test_odd_characters_are_encoded_as_the_gateway_expects() -> None:
    sent = prepared(REGIONAL + "/x", AkSk("AK", "SK"), params={"q": "a b*c~d/e+é"}).url
    assert sent.endswith("?q=a%20b%2Ac~d%2Fe%2B%C3%A9")


@pytest.mark.parametrize(
    ("host", "options", "algorithm"),
    [
        (REGIONAL, {}, "SDK-HMAC-SHA256 Access=AK,"),
        (INSTANCE, {}, "V11-HMAC-SHA256 Credential=AK/20260314/cn-north-4/iotdm,"),
        (
            INSTANCE,
            {"region": "ap-x"},
            "V11-HMAC-SHA256 Credential=AK/20260314/ap-x/iotdm,",
        ),
        (INSTANCE, {"signature": "sdk"}, "SDK-HMAC-SHA256 Access=AK,"),
        (
            REGIONAL,
            {"signature": "derived", "region": "r"},
            "V11-HMAC-SHA256 Credential=AK/20260314/r/iotdm,",
        ),
    ],
)
def test_the_host_selects_the_algorithm(
    monkeypatch: pytest.MonkeyPatch, host: str, options: Any, algorithm: str
) -> None:
    monkeypatch.setattr(auth, "datetime", Mock(now=lambda zone: NOW))
    keys = AkSk("AK", "SK", **options)
    assert prepared(host + "/x", keys).headers["Authorization"].startswith(algorithm)


def test_the_relevant_headers_are_signed() -> None:
    headers = {
        "Content-Type": "application/json",
        "Instance-Id": "i",
        "X-Project-Id": "p",
        "User-Agent": "u",
    }
    request = prepared(
        REGIONAL + ":8443/x", AkSk("AK", "SK", security_token="st"), headers=headers
    )
    signed = re.search("SignedHeaders=([^,]+)", request.headers["Authorization"])[1]
    assert (
        signed
        == "content-type;host;instance-id;x-project-id;x-sdk-date;x-security-token"
    )
    assert request.headers["Host"] == "iotda.cn-north-4.myhuaweicloud.com:8443"
    assert request.headers["X-Security-Token"] == "st"


def test_a_path_is_signed_decoded() -> None:
    assert signing.canonical_path(quote("/a b/c")) == "/a%20b/c/"
    assert unquote(signing.canonical_path("/")) == "/"


def test_a_repr_shows_no_secret() -> None:
    shown = repr(AkSk("AK", "very-secret", security_token="also-secret")) + repr(
        signing.Key("AK", "very-secret")
    )
    assert "very-secret" not in shown
    assert "also-secret" not in shown


@pytest.mark.parametrize("bad", [("", "SK"), ("AK", ""), ("A\nK", "SK")])
def test_keys_that_no_header_can_carry_raise(bad: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="key"):
        AkSk(*bad)
