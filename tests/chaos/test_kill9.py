from tests.chaos.short import chaos


def test_after_a_kill_the_records_agree_with_the_journal() -> None:
    found = chaos("kill9", "--points", "24")
    assert (found["points"], found["violations"]) == (24, 0)
    assert found["mid_batch"] >= 6
    assert found["control_violations"] > 0
