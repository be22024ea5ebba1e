import pytest

from tests import redis_server
from tests.chaos.short import chaos

pytestmark = pytest.mark.skipif(
    bool(redis_server.missing()) and not redis_server.must_be_here(),
    reason=redis_server.missing(),
)


def test_what_a_killed_worker_held_is_done_by_another():
    found = chaos("rq", "--targets", "200", "--kills", "1")
    assert (found["targets_ok"], found["lost"], found["violations"]) == (200, 0, 0)
    assert found["control_violations"] > 0
