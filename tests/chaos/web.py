"""A web server for the database and the platform of a stage."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cloud import Cloud
from tests.operations.deployment import Browser, Deployment


@dataclass
class WebServer:
    base: str
    pid: int

    def browser(self, user: str) -> Browser:
        return Browser(self.base, user)

    def megabytes(self) -> float:
        """Return the memory of its processes."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        texts = [
            Path(f"/proc/{pid}/status").read_text()
            for pid in (self.pid, *children.split())
        ]
        return sum(
            int(re.findall(r"VmRSS:\s+(\d+) kB", text)[0]) / 1000 for text in texts
        )


@contextmanager
def web_server(cloud: Cloud, *options: str, **settings: str) -> Iterator[WebServer]:
    """Run gunicorn with two processes, beside what else the stage runs."""
    deployment = Deployment(Path(os.environ["TEST_DATA_DIR"]), cloud)
    deployment.env |= {"DATABASE_URL": os.environ["DATABASE_URL"], **settings}
    try:
        base = deployment.start_web("--workers", "2", *options)
        yield WebServer(base, deployment.processes[0].pid)
    finally:
        deployment.kill()
