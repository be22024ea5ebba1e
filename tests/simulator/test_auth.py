from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from iotda_admin.iotda.signing import Key, authorization
from iotda_admin.simulator.api.signatures import DERIVED, ORDINARY
from tests.simulator.conftest import Sim

from .signing import sign

WRONG_PASSWORD = {
    "identity": {
        "methods": ["password"],
        "password": {
            "user": {
                "name": "demo-user",
                "password": "no",
                "domain": {"name": "demo-domain"},
            }
        },
    }
}


def signed(
    sim: Any, algorithm: Any = ORDINARY, path: Any = None, **options: Any
) -> Any:
    url = sim.api + (path or sim.root + "/devices?limit=1")
    return requests.get(
        url, headers=sign("GET", url, algorithm=algorithm, **options), timeout=5
    )


def refusal(answer: Any) -> tuple[Any, ...]:
    return answer.status_code, answer.json()["error_code"]


def test_iam_creates_a_token(sim: Sim) -> None:
    answer = sim.login()
    token = answer.json()["token"]
    assert (answer.status_code, token["project"]["name"]) == (201, "cn-north-4")
    assert len(answer.headers["X-Subject-Token"]) > 1000
    lifetime = datetime.fromisoformat(token["expires_at"]) - datetime.fromisoformat(
        token["issued_at"]
    )
    assert lifetime == timedelta(hours=24)


def test_a_wrong_password_is_refused_in_the_format_of_keystone(sim: Sim) -> None:
    answer = sim.login(auth=WRONG_PASSWORD)
    assert (answer.status_code, answer.json()["error"]["title"]) == (
        401,
        "Unauthorized",
    )


def test_iam_refuses_a_token_for_another_project(sim: Sim) -> None:
    auth = {
        "identity": sim.login_identity(),
        "scope": {"project": {"name": "eu-west-0"}},
    }
    assert sim.login(auth=auth).status_code == 401


def test_iam_lists_the_project(sim: Sim) -> None:
    projects = sim.get("/v3/projects?name=cn-north-4").json()["projects"]
    assert [project["id"] for project in projects] == [sim.known.project_id]
    assert sim.get("/v3/projects?name=elsewhere").json()["projects"] == []


def test_a_request_without_credentials_is_refused(sim: Sim) -> None:
    assert refusal(sim.get("/devices", headers={})) == (401, "APIGW.0301")


def test_an_unknown_token_is_refused(sim: Sim) -> None:
    assert refusal(sim.get("/devices", headers={"X-Auth-Token": "made-up"})) == (
        401,
        "APIGW.0301",
    )


def test_an_expired_token_is_refused(sim: Sim) -> None:
    sim.patch(clock_skew_s=25 * 3600)
    answer = sim.get("/devices")
    assert refusal(answer) == (401, "APIGW.0301")
    assert "must be updated" in answer.json()["error_msg"]


def test_a_setting_limits_the_life_of_tokens(sim: Sim) -> None:
    sim.patch(token_ttl_s=0)
    token = sim.login().headers["X-Subject-Token"]
    assert sim.get("/devices", headers={"X-Auth-Token": token}).status_code == 401


def test_a_token_without_a_project_is_refused(sim: Sim) -> None:
    scope = {"domain": {"name": "demo-domain"}}
    auth = {"identity": sim.login_identity(), "scope": scope}
    token = sim.login(auth=auth).headers["X-Subject-Token"]
    assert refusal(sim.get("/devices", headers={"X-Auth-Token": token})) == (
        403,
        "IOTDA.000004",
    )


def test_a_token_of_another_project_is_refused(sim: Sim) -> None:
    assert refusal(sim.get(f"/v5/iot/{'a' * 32}/devices")) == (403, "IOTDA.000004")


def test_tokens_survive_a_reset(sim: Sim) -> None:
    sim.reset()
    assert sim.get("/devices").status_code == 200


@pytest.mark.parametrize("algorithm", [ORDINARY, DERIVED])
def test_both_signature_algorithms_are_accepted(sim: Sim, algorithm: Any) -> None:
    assert signed(sim, algorithm).status_code == 200


@pytest.mark.parametrize("region", ["", "cn-north-4"])
@pytest.mark.parametrize(
    ("header", "status"), [("X-Sdk-Date", 200), ("Host", 401), ("X-Project-Id", 401)]
)
def test_a_signature_needs_the_date_alone(
    sim: Sim, region: str, header: str, status: int
) -> None:
    headers = {
        "X-Sdk-Date": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
        "Host": sim.api.removeprefix("http://"),
        "X-Project-Id": sim.known.project_id,
    }
    path = f"{sim.root}/devices"
    # The function reads the date from what it signs, so the others are signed with it.
    signature = authorization(
        Key("DEMOAK", "DEMOSK", region),
        "GET",
        path,
        [],
        {header: headers[header]} | {"X-Sdk-Date": headers["X-Sdk-Date"]},
        b"",
    )
    if status == 401:
        signature = signature.replace("x-sdk-date", "date")
    sent = headers | {"Authorization": signature}
    answer = requests.get(sim.api + path, headers=sent, timeout=5)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("algorithm", "code"), [(ORDINARY, "APIGW.0301"), (DERIVED, "IOTDA.000002")]
)
@pytest.mark.parametrize("wrong", [{"sk": "guess"}, {"ak": "guess"}])
def test_a_wrong_key_is_refused(
    sim: Sim, algorithm: Any, code: str, wrong: dict[str, Any]
) -> None:
    assert refusal(signed(sim, algorithm, **wrong)) == (401, code)


@pytest.mark.parametrize("wrong", [{"region": "eu-west-0"}, {"service": "iam"}])
def test_a_derived_signature_for_another_scope_is_refused(
    sim: Sim, wrong: dict[str, Any]
) -> None:
    assert refusal(signed(sim, DERIVED, **wrong)) == (401, "IOTDA.000002")


@pytest.mark.parametrize(
    ("minutes", "status"), [(14, 200), (-14, 200), (16, 401), (-16, 401)]
)
def test_a_signature_is_valid_for_fifteen_minutes(
    sim: Sim, minutes: Any, status: int
) -> None:
    assert (
        signed(sim, at=datetime.now(UTC) + timedelta(minutes=minutes)).status_code
        == status
    )


def test_a_skewed_clock_refuses_signatures_and_shows_in_the_date(sim: Sim) -> None:
    sim.patch(clock_skew_s=1200)
    answer = signed(sim)
    assert answer.status_code == 401
    shown = datetime.strptime(
        answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT"
    ).replace(tzinfo=UTC)
    assert timedelta(minutes=19) < shown - datetime.now(UTC) < timedelta(minutes=21)


@pytest.mark.parametrize("part", ["query", "header", "body"])
def test_a_request_changed_after_signing_is_refused(sim: Sim, part: str) -> None:
    url = sim.api + sim.root + "/devices?limit=1"
    headers = sign("GET", url)
    if part == "header":
        headers["X-Project-Id"] = "changed"
    answer = requests.get(
        url + "&offset=1" * (part == "query"),
        headers=headers,
        data=b"{}" if part == "body" else None,
        timeout=5,
    )
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "header", ["SDK-HMAC-SHA256 nonsense", "Basic ZGVtbw==", "none"]
)
def test_an_unreadable_authorization_header_is_refused(sim: Sim, header: str) -> None:
    assert refusal(sim.get("/devices", headers={"Authorization": header}))[0] == 401


@pytest.mark.parametrize(
    ("host_kind", "algorithm", "status", "code"),
    [
        ("instance", ORDINARY, 401, "IOTDA.000002"),
        ("instance", DERIVED, 200, None),
        ("regional", ORDINARY, 200, None),
        ("regional", DERIVED, 401, "APIGW.0301"),
        ("regional_unsubscribed", ORDINARY, 403, "IOTDA.000021"),
    ],
)
def test_each_kind_of_host_answers_in_its_own_way(
    sim: Sim, host_kind: str, algorithm: Any, status: int, code: str | None
) -> None:
    sim.patch(host_kind=host_kind)
    answer = signed(sim, algorithm)
    assert (answer.status_code, answer.json().get("error_code")) == (status, code)


def test_iam_accepts_the_ordinary_signature_on_every_kind_of_host(sim: Sim) -> None:
    sim.patch(host_kind="instance")
    assert signed(sim, path="/v3/projects").status_code == 200


def test_another_project_is_refused_with_a_valid_signature(sim: Sim) -> None:
    assert refusal(signed(sim, path=f"/v5/iot/{'a' * 32}/devices")) == (
        403,
        "IOTDA.000021",
    )


def test_a_placeholder_as_project_id_is_an_invalid_input(sim: Sim) -> None:
    assert refusal(signed(sim, path="/v5/iot/%7Bproject_id%7D/devices")) == (
        400,
        "IOTDA.000006",
    )


@pytest.mark.parametrize(
    ("given", "status"), [("mine", 200), ("other", 403), (None, 200)]
)
def test_another_instance_id_is_refused(
    sim: Sim, given: str | None, status: int
) -> None:
    sim.patch(instance_id="mine")
    headers = {"X-Auth-Token": sim.token} | ({"Instance-Id": given} if given else {})
    assert sim.get("/devices", headers=headers).status_code == status
