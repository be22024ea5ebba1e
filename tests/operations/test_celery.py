"""Celery as the engine: its messages may be lost, late or forged."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils.module_loading import import_string
from pytest_django import Settings

from iotda_admin.operations.execution.wakeups import notify_workers
from tests import redis_server
from tests.cloud import Cloud
from tests.operation_helpers import KEY, OTHER_KEY, change_form
from tests.operations.deployment import Deployment, until
from tests.operations.test_worker import done, states

LOADED = """
import json, sys
import iotda_admin.operations.management.commands.worker
from iotda_admin.operations.execution.wakeups import notify_workers
notify_workers()
print(json.dumps(["celery" in sys.modules]))
"""
POST = """
import json, time
from django.contrib.auth.models import User
from django.test import Client
import iotda_admin.celery
client = Client(SERVER_NAME="127.0.0.1")
client.force_login(User.objects.get(username="operator"))
began = time.monotonic()
answer = client.post("/devices/selection.freeze/", {form!r})
print(json.dumps([answer.status_code]))
print(json.dumps([time.monotonic() - began]))
"""
CELERY = "iotda_admin.operations.execution.celery_app"


@pytest.fixture
def engine(settings: Settings) -> Any:
    """The module, with a broker in memory."""
    settings.CELERY_BROKER_URL = "memory://"
    return import_string(f"{CELERY}.app") and sys.modules[CELERY]


@pytest.mark.django_db
def test_a_message_is_sent_after_the_commit(
    engine: Any,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    sent = []
    monkeypatch.setattr(engine, "publish", lambda: sent.append(1))
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        notify_workers()
        assert sent == []
    assert sent == [1]


def test_a_message_runs_only_a_job_of_the_settings(
    engine: Any, settings: Settings
) -> None:
    settings.WORKER_JOBS = {}
    engine.run_job("os.abort")


def test_a_message_that_is_not_json_is_refused(engine: Any) -> None:
    assert set(engine.app.conf.accept_content) == {"json"}
    assert engine.app.conf.result_backend is None


def test_celery_is_not_loaded_without_the_setting(deployment: Deployment) -> None:
    assert deployment.shell(LOADED) == [[False]]


def test_a_request_waits_a_second_at_most_for_a_broker_that_hangs(
    deployment: Deployment, cloud: Cloud
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        deployment.env["CELERY_BROKER_URL"] = f"redis://127.0.0.1:{port}/0"
        form = change_form(target=list(cloud.free(5)))
        status, seconds = deployment.shell(POST.format(form=form))
    assert status == [302]
    assert states(deployment) == {"pending"}
    assert seconds[0] < 4


def post(deployment: Deployment, ids: Any, key: Any) -> None:
    form = change_form(target=list(ids), key=key)
    assert deployment.shell(POST.format(form=form))[0] == [302]


@pytest.mark.skipif(
    bool(redis_server.missing()) and not redis_server.must_be_here(),
    reason=redis_server.missing(),
)
def test_without_redis_a_form_is_accepted_and_sent_once_redis_is_back(
    deployment: Deployment, cloud: Cloud, tmp_path: Path
) -> None:
    redis = redis_server.RedisServer(tmp_path)
    deployment.env["CELERY_BROKER_URL"] = redis.url
    celery = ("-W", "ignore", "-m", "celery", "-A", "iotda_admin")
    first, second = (cloud.free(10)[:5], cloud.free(10)[5:])
    try:
        post(deployment, first, KEY)
        redis.start()
        deployment.start(*celery, "worker", "--concurrency=2")
        deployment.start(*celery, "beat", "--pidfile=")
        until(lambda: done(deployment, 5))
        redis.stop()
        post(deployment, second, OTHER_KEY)
        redis.start()
        until(lambda: done(deployment, 10))
    finally:
        redis.stop()
