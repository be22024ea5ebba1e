"""Latency and throttling."""

import time

from tests.simulator.conftest import Sim


def test_the_whole_api_is_throttled(sim: Sim) -> None:
    sim.patch(rate=1, burst=3)
    answers = [sim.get("/apps") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].json().keys() == {"error_code", "error_msg", "request_id"}
    assert answers[3].headers["Retry-After"] == "1"


def test_a_throttled_request_applies_nothing(sim: Sim) -> None:
    sim.patch(rate=0.001, burst=1)
    sim.get("/apps")
    assert sim.bind(sim.known.free[0]).status_code == 429
    assert sim.device(sim.known.free[0])["policy_ids"] == []


def test_throttling_ends_after_a_while(sim: Sim) -> None:
    sim.patch(rate=200, burst=1)
    sim.get("/apps")
    time.sleep(0.01)
    assert sim.get("/apps").status_code == 200


def test_a_setting_delays_every_response(sim: Sim) -> None:
    sim.patch(latency_ms=20)
    start = time.monotonic()
    sim.get("/apps")
    assert time.monotonic() - start >= 0.02


def test_a_body_that_is_too_large_is_refused(sim: Sim) -> None:
    answer = sim.post(
        f"/device-policies/{sim.known.policy}/bind", {"x": "x" * 12 * 1024 * 1024}
    )
    assert (answer.status_code, answer.json()["error_code"]) == (413, "APIGW.0201")
