"""A backup of a database in use restores and verifies."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cloud import Cloud
from tests.maintenance.conftest import ON_POSTGRESQL, Site
from tests.operations.deployment import until

N = 5000
BIND = """
from django.contrib.auth.models import User
from devices.models import Device
from iotda_admin.access.actor import Actor
from policies.models import Binding
from tests.operation_helpers import create
actor = Actor(User.objects.get(username="policyadmin"), "policy admin", "test")
bound = Binding.objects.filter(target_type="device").values("target_id")
ids = Device.objects.exclude(pk__in=bound).values_list("pk", flat=True)[:{n}]
create("policy.bind", list(ids), actor, policy_id={policy!r})
"""
COUNTS = """
import json
from collections import Counter
from iotda_admin.audit.models import Outcome
from iotda_admin.audit.verify import verify_trail
from iotda_admin.operations.models import Operation, Target
states = Counter(Target.objects.values_list("state", flat=True))
trail = verify_trail()
recorded = Outcome.objects.filter(event__kind="chunk.answered", outcome="ok").count()
counted = [sum(states.values()), states["ok"], recorded]
print(json.dumps([trail.broken_at, *counted, Operation.objects.get().state]))
"""


OLDER = """
import json
from iotda_admin.audit.head import database_is_older
print(json.dumps([database_is_older()]))
"""


def counts(site: Site) -> list[Any]:
    (found,) = site.shell(COUNTS)
    return list(found)


def test_a_backup_taken_while_5000_targets_run_restores_and_verifies(
    new_site: Callable[[str], Site], cloud: Cloud, tmp_path: Path
) -> None:
    cloud.reset(devices=N + 1000)
    site, restored, file = new_site("busy"), new_site("restored"), tmp_path / "backup"
    site.prepare()
    # Slow enough that a loaded machine takes the backup in the middle.
    cloud.switch(latency_ms=1500)
    site.shell(BIND.format(n=N, policy=cloud.known_ids["other_policy"]))
    site.start("manage.py", "worker")
    until(lambda: len(cloud.journal("BindDevicePolicy")) > 1)

    saved = site.manage("backup", file)
    cloud.switch(latency_ms=0)
    assert saved.returncode == 0, saved.stderr
    head = saved.stdout.split()[-1]
    done = restored.manage("restore", file, "--expect", head)

    assert done.returncode == 0, done.stderr
    assert head in done.stdout
    assert "Held, because it was open in the backup: OP-1." in done.stdout
    found = counts(restored)
    broken, targets, ok, recorded, state = found
    assert (broken, targets, ok, state) == (None, N, recorded, "paused")
    assert 0 < ok < N
    until(lambda: counts(site)[2] == N)
    assert counts(site)[0] is None
    # The first file is never overwritten, and neither is a database.
    assert "exists. Choose a new file." in site.manage("backup", file).stderr
    refused = restored.manage("restore", file)
    assert refused.returncode == 1
    assert "Nothing was restored." in refused.stderr
    assert counts(restored) == found


def test_a_damaged_backup_is_refused(
    new_site: Callable[[str], Site], tmp_path: Path
) -> None:
    file, site = tmp_path / "backup", new_site("site")
    file.write_bytes(
        (b"PGDMP" if ON_POSTGRESQL else b"SQLite format 3\0") + bytes(9000)
    )
    refused = site.manage("restore", file)
    assert refused.returncode == 1
    assert "Nothing was restored." in refused.stderr
    assert not list(site.folder.glob("*.sqlite3*"))


def test_a_backup_of_an_older_version_is_restored_and_migrated(
    new_site: Callable[[str], Site], tmp_path: Path
) -> None:
    old, site, file = new_site("old"), new_site("site"), tmp_path / "backup"
    assert old.manage("migrate", "-v0").returncode == 0
    assert old.manage("migrate", "-v0", "health", "0001").returncode == 0
    assert old.manage("backup", file).returncode == 0
    done = site.manage("restore", file)
    assert done.returncode == 0, done.stderr
    assert "run manage.py migrate, then audit_verify" in done.stdout
    assert site.manage("migrate", "-v0").returncode == 0
    assert site.shell(OLDER) == [[True]]


@pytest.mark.skipif(ON_POSTGRESQL, reason="concerns the files of SQLite")
def test_a_restore_does_not_touch_the_rest_of_another_database(
    new_site: Callable[[str], Site], tmp_path: Path
) -> None:
    site, file = new_site("site"), tmp_path / "backup"
    with closing(sqlite3.connect(file)) as database:
        database.execute("create table t (x)")
    rest = site.folder / "iotda-admin.sqlite3-wal"
    rest.write_bytes(b"the newest rows")
    refused = site.manage("restore", file)
    assert refused.returncode == 1
    assert str(rest) in refused.stderr
    assert rest.read_bytes() == b"the newest rows"
