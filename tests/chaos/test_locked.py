from tests.chaos.short import chaos


def test_no_page_waits_for_another_writer_and_no_change_is_lost_to_it() -> None:
    found = chaos("locked", "--facts", "--hold", "0")
    assert (found["pages under the lock"], found["changes under the lock"]) == (11, 2)
    assert found["violations"] == 0
    # One for a page, two for the changes, at least.
    assert found["control_violations"] >= 3
