"""What the client tells a gate, whatever the gate does with it."""

import pytest

from iotda_admin.iotda import Client, PasswordToken, Throttled
from tests.iotda.conftest import PROJECT


class Recorder:
    def __init__(self):
        self.told = []

    def acquire(self, operation):
        self.told.append(operation)

    def throttled(self, operation, retry_after):
        self.told.append((operation, retry_after))


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def iotda(cloud, recorder):
    auth = PasswordToken(
        iam_endpoint=cloud.api,
        user="demo-user",
        password="demo-password",
        domain="demo-domain",
        project_id=PROJECT,
    )
    with Client(
        endpoint=cloud.api, project_id=PROJECT, auth=auth, rate_limiter=recorder
    ) as client:
        yield client
    auth.close()


def test_a_token_is_fetched_past_the_gate(iotda, recorder):
    iotda.show_applications()
    assert recorder.told == ["ShowApplications"]


def test_a_repeat_with_a_new_token_passes_it_again(iotda, recorder, cloud):
    iotda.show_applications()
    cloud.fault("ShowApplications", "expire_tokens", match={"times": 1})
    iotda.show_applications()
    assert recorder.told == ["ShowApplications"] * 3


def test_it_learns_that_the_platform_asks_to_slow_down(iotda, recorder, cloud):
    cloud.fault("ShowApplications", "throttle", retry_after=7)
    with pytest.raises(Throttled):
        iotda.show_applications()
    assert recorder.told == ["ShowApplications", ("ShowApplications", 7)]
