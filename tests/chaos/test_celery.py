import pytest

from tests import redis_server
from tests.chaos.short import chaos

pytestmark = pytest.mark.skipif(
    bool(redis_server.missing()) and not redis_server.must_be_here(),
    reason=redis_server.missing(),
)


def test_killed_celery_workers_neither_lose_nor_repeat_a_target() -> None:
    found = chaos("celery", "--targets", "200", "--kills", "1")
    assert (found["targets_ok"], found["lost"], found["twice"]) == (200, 0, 0)
    assert found["violations"] == 0
    assert found["control_violations"] > 0
