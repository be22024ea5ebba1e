"""The short form of `bin/chaos identity`, and the control that has to fail."""

import logging
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from tests.chaos.identity import BY_TASK_ABOVE, CHECKS, Identity
from tests.cloud import Cloud
from tests.conftest import make_user

FEW = 12
CONTROL = 8


@pytest.fixture
def attack(cloud: Cloud, db: None, settings: Settings) -> Iterator[Identity]:
    settings.BATCH_TASK_ABOVE = BY_TASK_ABOVE
    make_user("admin")
    logging.disable(logging.CRITICAL)
    yield Identity(cloud, 1)
    logging.disable(logging.NOTSET)


def test_answers_about_something_else_are_no_outcomes_and_not_stored(
    attack: Identity,
) -> None:
    attack.rounds(FEW)
    assert attack.findings.violations == []
    assert attack.findings.numbers["mix-ups"] == FEW


def test_the_control_takes_an_answer_about_something_else_for_the_right_one(
    attack: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in CHECKS:
        monkeypatch.setattr(module, name, lambda *_: None)
    attack.rounds(CONTROL)
    assert attack.findings.violations
