import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench.databases import Postgres
from tests.cloud import ROOT, Cloud
from tests.operations.deployment import Deployment

SERVER = os.environ.get("DATABASE_URL", "")
ON_POSTGRESQL = SERVER.startswith("postgres")


class Site(Deployment):
    """The product with a database of its own."""

    def __init__(self, folder: Path, cloud: Cloud, url: str) -> None:
        super().__init__(folder, cloud)
        folder.mkdir(exist_ok=True)
        self.env |= {"DATABASE_URL": url, "IOTDA_DEADLINE": "5"}

    def manage(self, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "ignore", "manage.py", *map(str, words)],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres | None]:
    server = Postgres(SERVER) if ON_POSTGRESQL else None
    yield server
    if server:
        server.close()


@pytest.fixture
def new_site(
    server: Postgres | None, tmp_path: Path, cloud: Cloud
) -> Iterator[Callable[[str], Site]]:
    """Return a function that makes a site with an empty database, as this run uses them."""
    sites: list[Site] = []

    def new_site(name: str) -> Site:
        folder = tmp_path / name
        url = (
            server.url(tmp_path.with_name(f"{tmp_path.name}_{name}")) if server else ""
        )
        sites.append(Site(folder, cloud, url))
        return sites[-1]

    yield new_site
    for site in sites:
        site.kill()
