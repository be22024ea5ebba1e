"""When the client calls its rate limiter."""

from collections.abc import Iterator
from typing import Any

import pytest

from iotda_admin.iotda import Client, PasswordToken, Throttled
from tests.cloud import Cloud
from tests.iotda.conftest import PROJECT


class Recorder:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def acquire(self, operation: Any) -> None:
        self.calls.append(operation)

    def throttled(self, operation: Any, retry_after: Any) -> None:
        self.calls.append((operation, retry_after))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def iotda(cloud: Cloud, recorder: Recorder) -> Iterator[Client]:
    auth = PasswordToken(
        iam_endpoint=cloud.api,
        user="demo-user",
        password="demo-password",
        domain="demo-domain",
        project_id=PROJECT,
    )
    client = Client(
        endpoint=cloud.api, project_id=PROJECT, auth=auth, rate_limiter=recorder
    )
    yield client
    client.close()
    auth.close()


def test_the_fetch_of_a_token_is_not_rate_limited(
    iotda: Client, recorder: Recorder
) -> None:
    iotda.show_applications()
    assert recorder.calls == ["ShowApplications"]


def test_a_repeat_with_a_new_token_is_rate_limited(
    iotda: Client, recorder: Recorder, cloud: Cloud
) -> None:
    iotda.show_applications()
    cloud.fault("ShowApplications", "expire_tokens", match={"times": 1})
    iotda.show_applications()
    assert recorder.calls == ["ShowApplications"] * 3


def test_the_rate_limiter_is_notified_of_throttling(
    iotda: Client, recorder: Recorder, cloud: Cloud
) -> None:
    cloud.fault("ShowApplications", "throttle", retry_after=7)
    with pytest.raises(Throttled):
        iotda.show_applications()
    assert recorder.calls == ["ShowApplications", ("ShowApplications", 7)]
