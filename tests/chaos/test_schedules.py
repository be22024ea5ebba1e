from tests.chaos.short import chaos


def test_after_random_faults_the_records_agree_with_the_journal() -> None:
    found = chaos("schedules", "--n", "8", "--seed", "20261122")
    assert (found["schedules"], found["violations"]) == (8, 0)
    assert found["control_violations"] > 0
