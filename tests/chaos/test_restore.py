from tests.chaos.short import chaos


def test_a_restored_backup_sends_nothing_before_a_user_continues() -> None:
    found = chaos("restore", "--backups", "8")
    assert (found["backups"], found["violations"]) == (8, 0)
    assert found["held"] >= 2
    assert found["control_violations"] > 0
