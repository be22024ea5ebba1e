"""The short form of `bin/chaos odd`, and the control that has to fail."""

import logging
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from iotda_admin.core.templatetags import core_tags
from tests.chaos import odd
from tests.chaos.odd import Odd
from tests.cloud import Cloud

FEW = 250
CONTROL = 60


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Many unusable answers are expected here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_odd_values_take_no_page_away_and_are_stored_as_they_came(
    inventory: Cloud, settings: Settings
) -> None:
    settings.BATCH_TASK_ABOVE = 5
    run = Odd(inventory, 1)
    run.values(FEW)
    assert run.findings.violations == []


def test_the_control_finds_links_made_of_odd_ids(
    inventory: Cloud, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BATCH_TASK_ABOVE = 5
    monkeypatch.setattr(core_tags, "object_url", odd.naive_url)
    run = Odd(inventory, 2)
    run.values(CONTROL)
    assert any("NoReverseMatch" in found for found in run.findings.violations)
