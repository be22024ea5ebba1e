from tests.chaos.short import chaos


def test_slow_answers_and_slow_clients_starve_nobody() -> None:
    """Without sign-ins: their limits are of time and of memory."""
    words = "--facts --pages 40 --latency 3 --clients 40 --sign-ins 0 --duration 20"
    found = chaos("starve", *words.split())
    assert (found["device pages"], found["violations"]) == (40, 0)
    assert 0 < found["device pages from the inventory"] < 40
    assert found["control_violations"] >= 2
