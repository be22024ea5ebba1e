from tests.chaos import wire
from tests.chaos.short import chaos

FEW = ["drop", "dripped body", "huge", "duplicate key"]


def test_a_broken_answer_is_not_a_success_and_costs_neither_time_nor_memory() -> None:
    found = chaos("wire", "--faults", *FEW)
    assert (found["cases"], found["violations"]) == (24, 0)
    assert found["longest_call_s"] <= 1.1 * wire.DEADLINE
    assert found["extra_memory_mb"] <= wire.MEGABYTES


def test_the_cases_are_24_faults_of_three_calls_at_two_moments() -> None:
    assert (
        len([case for case in wire.cases([]) if case.name not in wire.SHAPES])
        == 24 * 3 * 2
    )
