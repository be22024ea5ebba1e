from tests.chaos.short import chaos


def test_each_of_many_concurrent_changes_is_made_once() -> None:
    found = chaos("races", "--rounds", "20")
    assert (found["operations_of_posts"], found["violations"]) == (1, 0)
    assert found["changes_of_one_device"] == 160
    assert found["chunks"] == found["requests"]
