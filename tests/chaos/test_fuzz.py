"""A tenth of what `bin/chaos fuzz` sends, in four parts so that the processes share them."""

import pytest

from tests.chaos.fuzz import Fuzz

PART = 2500
FEW = 300


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_is_sent_is_a_fault_of_ours_or_comes_back_unescaped(inventory, settings, seed):
    settings.BATCH_TASK_ABOVE = 15
    fuzz = Fuzz(inventory, seed)
    fuzz.requests(range(PART))
    assert fuzz.findings.violations == []
    assert fuzz.findings.numbers["inputs"] == PART


def test_it_finds_what_was_planted(inventory, settings):
    settings.ROOT_URLCONF = "tests.chaos.planted"
    fuzz = Fuzz(inventory, 1)
    fuzz.dice.site.routes = [route for route in fuzz.dice.site.routes if "planted" in route]
    fuzz.requests(range(FEW))
    found = "\n".join(fuzz.findings.violations)
    for wrong in ("ValueError: invalid literal for int()", "came back unescaped", "leads to"):
        assert wrong in found
