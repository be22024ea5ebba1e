"""A tenth of what `bin/chaos fuzz` sends, in parts that processes share."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from tests.chaos.fuzz import PLANTED, Fuzz
from tests.cloud import Cloud

PART = 1000
FEW = 400


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Hundreds of refused requests are expected here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("begin", range(0, 5 * PART, PART))
@pytest.mark.parametrize("seed", range(2))
def test_random_requests_cause_no_server_error_and_are_escaped(
    inventory: Cloud, settings: Settings, seed: int, begin: int
) -> None:
    settings.BATCH_TASK_ABOVE = 15
    fuzz = Fuzz(inventory, seed)
    fuzz.requests(range(begin, begin + PART))
    assert fuzz.findings.violations == []
    assert fuzz.findings.numbers["inputs"] == PART


@pytest.mark.django_db
def test_past_findings_stay_fixed(admin_client: Any) -> None:
    wrong_key = {"action": "delete_selected", "_selected_action": "not-a-number"}
    assert admin_client.post("/admin/auth/group/", wrong_key).status_code == 200
    for path in ("/admin/auth/group/", "/admin/auth/user/"):
        assert admin_client.get(path, {"q": "9" * 60_000}).status_code == 200
    far_too_long = admin_client.get("/", headers={"Content-Length": "9" * 5000})
    assert far_too_long.status_code == 413
    role = {
        "name": "x",
        "permissions": "9" * 30,
        "limit-TOTAL_FORMS": "1",
        "limit-INITIAL_FORMS": "1",
    }
    role |= {"limit-0-id": "9" * 30, "limit-0-group": "9" * 30, "limit-0-targets": "1"}
    assert admin_client.post("/admin/auth/group/2/change/", role).status_code in (
        200,
        400,
    )
    user = {"username": "", "grants-TOTAL_FORMS": "9" * 30, "grants-INITIAL_FORMS": "0"}
    assert (
        admin_client.post("/admin/auth/user/add/", user).text.count('-app_id" id=')
        < 300
    )


def test_the_fuzz_finds_planted_faults(inventory: Cloud, settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.chaos.planted"
    fuzz = Fuzz(inventory, 1)
    fuzz.dice.narrow(("/planted/",), PLANTED)
    fuzz.requests(range(FEW))
    found = "\n".join(fuzz.findings.violations)
    for wrong in (
        "ValueError: invalid literal for int()",
        "came back unescaped",
        "leads to",
    ):
        assert wrong in found
