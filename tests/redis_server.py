"""A Redis of a test's own."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis, RedisError

PATIENCE = 10


def missing() -> str:
    """Why there is no Redis here; empty if there is one."""
    return "" if shutil.which("redis-server") else "redis-server is not installed"


def must_be_here() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true"}


class RedisServer:
    """Keeps nothing: what was in it is lost when it stops."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        address = [
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--dir",
            str(self.folder),
        ]
        command = ["redis-server", *address, "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            with Redis.from_url(self.url) as redis:
                return bool(redis.ping())
        except RedisError:
            return False

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@contextmanager
def redis_for_all() -> Iterator[None]:
    """A server for all that this process starts from here on, by the setting."""
    with TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        os.environ["CELERY_BROKER_URL"] = server.url
        try:
            yield
        finally:
            server.stop()
