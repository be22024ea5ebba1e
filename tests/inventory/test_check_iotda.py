from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from iotda_admin.audit.models import Event
from iotda_admin.rate import connection
from tests.cloud import Cloud
from tests.iotda.wire import Wire, reply


@pytest.fixture
def check(cloud: Cloud, settings: Settings, db: None) -> Callable[..., Any]:
    """Run the command with other settings; return its output and whether it succeeded."""

    def run(**changes: Any) -> tuple[Any, ...]:
        for name, value in changes.items():
            setattr(settings, name, value)
        connection.client.cache_clear()
        out = StringIO()
        try:
            call_command("check_iotda", stdout=out)
        except CommandError as error:
            return f"{out.getvalue()}{error}", False
        return out.getvalue(), True

    return run


def test_it_lists_what_can_be_read(check: Callable[..., Any]) -> None:
    said, good = check()
    assert good
    assert "devices: 60" in said


def test_the_check_is_audited(check: Callable[..., Any]) -> None:
    check(IOTDA_SK="another-secret")
    event = Event.objects.get(kind="settings.checked")
    assert (event.source, event.outcome, event.actor_name != "") == (
        "cli",
        "failed",
        True,
    )
    assert "another-secret" not in str(event.detail)


@pytest.mark.parametrize(
    ("cloud_is", "settings_are", "sentence"),
    [
        ({}, {"IOTDA_SK": "another"}, "AK or SK are wrong"),
        (
            {"host_kind": "instance"},
            {"IOTDA_SIGNATURE": "sdk"},
            "set IOTDA_SIGNATURE=derived",
        ),
        (
            {"host_kind": "regional"},
            {"IOTDA_SIGNATURE": "derived"},
            "set IOTDA_SIGNATURE=sdk",
        ),
        ({"host_kind": "regional_unsubscribed"}, {}, "use the instance's own host"),
        ({"clock_skew_s": 1500}, {}, "25 minutes behind"),
        ({"clock_skew_s": -1500}, {}, "25 minutes ahead"),
        ({}, {"IOTDA_PROJECT_ID": "0" * 32}, "Check IOTDA_PROJECT_ID"),
        ({}, {"IOTDA_AUTH": "token", "IOTDA_TOKEN": "stale"}, "Set a new IOTDA_TOKEN"),
        ({}, {"IOTDA_ENDPOINT": "http://127.0.0.1:9"}, "could not be reached"),
    ],
)
def test_it_explains_what_is_wrong(
    check: Callable[..., Any],
    cloud: Cloud,
    cloud_is: Any,
    settings_are: Any,
    sentence: str,
) -> None:
    cloud.switch(**cloud_is)
    said, good = check(**settings_are)
    assert not good
    assert sentence in said


def test_it_explains_a_missing_permission_and_goes_on(
    check: Callable[..., Any], cloud: Cloud
) -> None:
    cloud.fault(
        "ListProducts", "status", status=403, error_code="IOTDA.000022", error_msg="no"
    )
    said, good = check()
    assert not good
    assert "iotda:products:queryList" in said
    assert "policies: " in said


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_an_unknown_code_is_shown_with_iotdas_words_and_no_meaning(
    check: Callable[..., Any], cloud: Cloud, status: int
) -> None:
    cloud.fault(
        "ListProducts",
        "status",
        status=status,
        error_code="IOTDA.019999",
        error_msg="The product catalogue is closed.",
    )
    said, good = check()
    assert not good
    assert "refuses this call: “The product catalogue is closed.”" in said
    assert "IoTDA Admin does not know this error code." in said
    assert "permission. Its administrator" not in said
    assert "IOTDA_PROJECT_ID" not in said


def test_it_explains_a_wrong_iam_login(
    check: Callable[..., Any], cloud: Cloud, settings: Settings
) -> None:
    said, good = check(
        IOTDA_AUTH="password",
        IAM_ENDPOINT=cloud.api,
        IAM_DOMAIN="demo-domain",
        IAM_USER="x",
        IAM_PASSWORD="y",
    )
    assert not good
    assert "IAM refuses the login" in said


def test_it_works_with_an_iam_login(
    check: Callable[..., Any], cloud: Cloud, settings: Settings
) -> None:
    _said, good = check(
        IOTDA_AUTH="password",
        IAM_ENDPOINT=cloud.api,
        IAM_DOMAIN="demo-domain",
        IAM_USER="demo-user",
        IAM_PASSWORD="demo-password",
    )
    assert good


@pytest.mark.parametrize(
    "endpoint", ["https://iotda.cn-north-4.myhuaweicloud.com", "http://127.0.0.1:9"]
)
def test_it_names_the_proxy_that_asks_for_a_password(
    check: Callable[..., Any], endpoint: str
) -> None:
    proxy = Wire()
    proxy.answer = reply(b"", 407)
    said, good = check(IOTDA_ENDPOINT=endpoint, IOTDA_PROXY=proxy.url)
    proxy.close()
    assert not good
    assert f"the proxy 127.0.0.1:{proxy.port} asks for a user name and pass" in said
    assert "into IOTDA_PROXY, as http://user:password@host:port" in said
    assert "DNS" not in said


def test_it_names_the_proxy_that_cannot_be_reached(check: Callable[..., Any]) -> None:
    said, good = check(IOTDA_PROXY="http://127.0.0.1:9")
    assert not good
    assert "the proxy 127.0.0.1:9 cannot be reached. Check IOTDA_PROXY." in said
    assert "DNS" not in said


def test_it_names_iam_if_that_is_what_cannot_be_reached(
    check: Callable[..., Any],
) -> None:
    said, good = check(IOTDA_AUTH="password", IAM_ENDPOINT="http://127.0.0.2:9")
    assert not good
    assert "127.0.0.2 could not be reached" in said
    assert "Check IAM_ENDPOINT, DNS and the firewall." in said


def test_it_prints_no_secret(check: Callable[..., Any]) -> None:
    said, _good = check(IOTDA_SK="canary-secret-key")
    assert "canary-secret-key" not in said
