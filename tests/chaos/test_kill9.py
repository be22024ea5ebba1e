from tests.chaos.short import chaos


def test_whatever_is_killed_the_records_agree_with_the_journal():
    found = chaos("kill9", "--points", "40")
    assert (found["points"], found["violations"]) == (40, 0)
    assert found["mid_batch"] >= 12
    assert found["control_violations"] > 0
