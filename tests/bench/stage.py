"""The stage of one command: its own simulator and a prepared product."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.databases import database
from tests.bench.product import Product
from tests.cloud import Cloud
from tests.contract.process import BARE

WARM = 40
# Devices that take any policy; direct devices that are not frozen.
CAN_BE_BOUND = "device_id not in (select target_id from policies_binding where target_type='device')"
CAN_BE_FROZEN = "gateway_id=device_id and status<>'FROZEN'"


class Stage:
    def __init__(self, devices: int, kind: str = "sqlite", **settings: object) -> None:
        self.devices, self.kind, self.settings = devices, kind, settings
        self.home = Path(tempfile.mkdtemp(prefix="bench-"))
        self.home.chmod(0o755)
        self.cloud, self.database = Cloud(BARE), database(kind)
        self.rounds = 0
        self.reset()
        self.prepared = Product(self.folder(), self.cloud, self.database, **settings)

    def close(self) -> None:
        self.cloud.close()
        self.database.close()
        shutil.rmtree(self.home)

    def reset(self, **settings: Any) -> None:
        """Reset the platform to its first state."""
        self.cloud.reset(self.devices, **settings)

    def folder(self) -> Path:
        folder = self.home / str(self.rounds)
        folder.mkdir()
        self.rounds += 1
        return folder

    def ids(self, count: int, where: str) -> list[str]:
        connection = self.database.connect(self.prepared.folder)
        sql = f"select device_id from devices_device where {where} order by device_id limit {count}"
        found = [id for (id,) in connection.execute(sql).fetchall()]
        connection.close()
        if len(found) < count:
            raise ValueError(
                f"{self.devices} simulated devices are too few for {count} targets"
            )
        return found

    def copy(self, **settings: object) -> Product:
        """Return a copy of the prepared product, not yet started."""
        folder = self.folder()
        shutil.copytree(self.prepared.folder, folder, dirs_exist_ok=True)
        self.database.copy(self.prepared.folder, folder)
        return Product(folder, self.cloud, self.database, **self.settings | settings)

    @contextmanager
    def product(self, **settings: object) -> Iterator[Product]:
        product = self.copy(**settings)
        try:
            yield product.run()
        finally:
            product.stop()


@contextmanager
def staged(*args: Any, **settings: Any) -> Iterator[Stage]:
    stage = Stage(*args, **settings)
    try:
        stage.prepared.prepare()
        yield stage
    finally:
        stage.close()


def room_for(targets: int) -> int:
    """Return how many devices to simulate for this number of targets."""
    return int(1.35 * targets) + 200
