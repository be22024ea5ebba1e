"""The measured product: gunicorn and a worker as the README starts them, used over
HTTP."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.databases import Postgres, Sqlite
from tests.cloud import Cloud
from tests.operations.deployment import Browser, Deployment

PATIENCE = 600
POLL = 0.005
WRITES = {"BindDevicePolicy", "FreezeDevice", "CreateBatchTask"}
# Includes the event in the audit trail, which is part of the record.
ENDED = """
select 1 from operations_operation where id={0} and finished_at is not null
and exists (select 1 from audit_event where operation={0} and kind='operation.ended')
"""
PREPARE = """
from django.core.management import call_command
from tests.migrated import migrate
migrate()
call_command("collectstatic", interactive=False, verbosity=0)
call_command("demo_users")
call_command("sync")
"""
# Override the settings of a real deployment in .env or the shell.
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
    "HTTPS": "False",
    "DEBUG": "False",
    "LOG_LEVEL": "error",
    "ALLOWED_HOSTS": "127.0.0.1",
    "IOTDA_AUTH": "aksk",
    "IOTDA_SIGNATURE": "auto",
    "IOTDA_PROJECT_ID": "5c0ffee05c0ffee05c0ffee05c0ffee0",
    "IOTDA_REGION": "cn-north-4",
    "IOTDA_AK": "DEMOAK",
    "IOTDA_SK": "DEMOSK",
    "IOTDA_INSTANCE_ID": "",
    "IOTDA_PROXY": "",
    "IOTDA_RATE": "0",
    "INVENTORY_REFRESH": "86400",  # no sync in between
}


@dataclass(frozen=True)
class MeasuredOperation:
    """One operation, from before the form is sent until its end is committed."""

    operation: int
    began: float
    seconds: float
    post: float
    calls: float  # from the first call until the last outcome is recorded
    worker_cpu: float  # processor seconds, more exact than the clock on shared cores
    web_cpu: float


class Product(Deployment):
    def __init__(
        self,
        folder: Path,
        cloud: Cloud,
        database: Sqlite | Postgres,
        **settings: object,
    ) -> None:
        super().__init__(folder, cloud)
        self.database = database
        self.connection: Any = None
        self.env |= SETTINGS | {
            "DATA_DIR": str(folder),
            "DATABASE_URL": database.url(folder),
        }
        self.env |= {name: str(value) for name, value in settings.items()}

    def prepare(self) -> None:
        self.shell(PREPARE, timeout=PATIENCE)

    def run(self) -> "Product":
        self.worker = self.start("manage.py", "worker", "--verbosity", "0")
        self.base = self.start_web("--workers", "2", "--threads", "32")
        self.web = self.processes[-1]
        self.connection = self.database.connect(self.folder)
        return self

    def stop(self) -> None:
        self.kill()
        if self.connection:
            self.connection.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self.connection.execute(sql).fetchall())

    def ask(
        self, user: str, page: str, path: str, **fields: object
    ) -> MeasuredOperation:
        """Send the form, and wait until the operation's end is in the database."""
        browser = Browser(self.base, user)
        form = browser.form(page) | {
            "reason": "measured",
            "ticket": "BENCH-1",
            **fields,
        }
        worker, web = cpu(self.worker.pid), cpu(self.web.pid)
        wall, began = time.time(), time.monotonic()
        answer = browser.http.post(
            self.base + path, form, timeout=PATIENCE, allow_redirects=False
        )
        post = time.monotonic() - began
        operation = int(
            number_in(answer.headers.get("Location", ""), answer.status_code)
        )
        while not self.rows(ENDED.format(operation)):
            if time.monotonic() > began + PATIENCE:
                raise TimeoutError(f"OP-{operation} has not ended after {PATIENCE} s.")
            time.sleep(POLL)
        seconds = time.monotonic() - began
        used = cpu(self.worker.pid) - worker, cpu(self.web.pid) - web
        return MeasuredOperation(
            operation,
            wall,
            seconds,
            post,
            wall + seconds - self.first_call(wall),
            *used,
        )

    def first_call(self, since: float) -> float:
        """Return when the first change arrived; earlier reads belong to the request."""
        writes = [
            one["time"] for one in self.cloud.journal() if one["operation"] in WRITES
        ]
        return min([at for at in writes if at >= since], default=since)

    def outcomes(self, asked: MeasuredOperation) -> dict[str, str]:
        return dict(
            self.rows(
                f"select target_id, state from operations_target where operation_id={asked.operation}"
            )
        )


def number_in(location: str, status: int) -> str:
    found = re.search(r"/operations/(\d+)/", location)
    if found is None:
        raise RuntimeError(f"The form was answered {status} without an operation.")
    return found[1]


def peak(pid: int) -> int:
    """Return the peak memory of a process or one of its children, in bytes."""
    own = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return max([int(own[1]) * 1024 if own else 0, *map(peak, children(pid))])


def cpu(pid: int) -> float:
    """Return the processor seconds of a process and its children."""
    user, system = (
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    )
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK") + sum(
        map(cpu, children(pid))
    )


def children(pid: int) -> list[int]:
    return [
        int(child)
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]
