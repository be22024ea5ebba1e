"""The product as the harness drives it. Only this module and `moments` know its inner names."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import batched
from pathlib import Path
from typing import Any

import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connections, transaction
from django.template.loader import get_template
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string

from devices.models import Device
from iotda_admin.access.actor import Actor
from iotda_admin.accounts.sessions import SEEN, SessionStore
from iotda_admin.inventory.models import SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.iotda import Rejected, walk
from iotda_admin.iotda.base import BaseClient
from iotda_admin.maintenance.backup import SIDE_FILES, back_up, restore
from iotda_admin.operations import services
from iotda_admin.operations.execution import (
    executor,
    leases,
    reconciliation,
    result_writer,
)
from iotda_admin.operations.execution.error_policy import ErrorAction
from iotda_admin.operations.execution.lifecycle import continue_operation
from iotda_admin.operations.models import Chunk, Operation, Target
from iotda_admin.operations.verbs import all_verbs, get_verb
from iotda_admin.rate import connection, own_connection
from policies.models import Binding, Policy
from tests.iotda.stopwatch import Stopwatch
from tests.migrated import migrate
from tests.operation_helpers import change_form, create, run_workers

SIMULATED_LOGIN = ("demo-domain", "demo-user", "demo-password")
LONG_AGO = timedelta(hours=1)
ROUNDS = 60
# The simulator runs a batch task in real time.
FOLLOW_PAUSE = 0.03


@dataclass
class RecordedChunk:
    """A chunk, as recorded."""

    state: str
    attempts: int
    targets: list[str] = field(default_factory=list)


@dataclass
class Records:
    """The records of one operation; empty if there is no such operation."""

    found: int = 0
    pk: int = 0
    ended: bool = False
    state: str = ""
    targets: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    chunks: dict[int, RecordedChunk] = field(default_factory=dict)

    def chunks_in(self, state: str) -> int:
        return sum(chunk.state == state for chunk in self.chunks.values())


def prepare() -> None:
    migrate()
    call_command("demo_users")
    assert run_sync(SyncRun.objects.create(), connection.client())


def warm_up() -> None:
    """Load what every child would load again; nothing here makes a connection."""
    reverse("operations:operations")
    get_template("operations/operation.html")
    connection.client()
    connection.client.cache_clear()


def direct_devices() -> dict[str, str]:
    """Return every device that can be frozen, with its status at IoTDA."""
    found = walk(connection.client().list_devices)
    return {d.device_id: d.status for d in found if d.gateway_id in ("", d.device_id)}


def policies() -> list[str]:
    return list(Policy.objects.values_list("pk", flat=True))


def age_sessions() -> None:
    """Let the next request of each session save the time of its last action."""
    for row in Session.objects.all():
        session = SessionStore(row.pk)
        session[SEEN] -= 60
        session.save()


def actor(name: str = "admin") -> Actor:
    return Actor(User.objects.get(username=name), name, "chaos")


def create_operation(verb: str, ids: Sequence[str], policy: str, key: str) -> int:
    """Record the operation; send nothing."""
    return create(verb, ids, actor(), key, reason="chaos", policy_id=policy).pk


def dispatch_operation(key: str) -> None:
    """Dispatch an operation: one chunk is sent at once, as in a web request."""
    services.dispatch(Operation.objects.get(form_key=key), connection.client())


def create_and_dispatch(verb: str, ids: Sequence[str], key: str) -> bool:
    """Record and send without waiting; return False if another operation is in the way."""
    try:
        create_operation(verb, ids, "", key)
    except services.Conflict:
        return False
    dispatch_operation(key)
    return True


@dataclass
class TargetChange:
    """One change of one target."""

    verb: str
    state: str
    sent_at: datetime
    settled_at: datetime


def history(prefix: str) -> list[TargetChange]:
    """Return the changes in the order they were sent."""
    targets = Target.objects.filter(operation__form_key__startswith=prefix).order_by(
        "chunk__sent_at"
    )
    facts = targets.values_list(
        "operation__verb", "state", "chunk__sent_at", "settled_at"
    )
    return [TargetChange(*row) for row in facts]


def drop_the_index() -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("drop index one_intent_in_flight")


def skip_conflict_check() -> None:
    """The control of the races: services look for no conflict, and the index is gone."""
    services.check_conflicts = lambda *_: None


def browser() -> Browser:
    page = Browser(SERVER_NAME="127.0.0.1")
    page.force_login(User.objects.get(username="admin"))
    return page


def send_form(
    page: Browser, verb: str, ids: Sequence[str], policy: str, key: str
) -> int:
    """Send the form of a page as a browser does, and return the status."""
    if verb.startswith("device."):
        path, form = (
            f"/devices/{ids[0]}/{verb.rpartition('.')[2]}/",
            change_form(key=key),
        )
    else:
        act = verb.rpartition(".")[2]
        path = f"/policies/{policy}/{act}/"
        form = change_form(key=key, target_type="device", target=list(ids))
        if act == "bind":
            form |= {"act": act, "policy": policy, "other_space": "on"}
    return page.post(path, form).status_code


def send_form_again(verb: str, ids: Sequence[str], policy: str, key: str) -> int:
    return send_form(browser(), verb, ids, policy, key)


def run_worker() -> None:
    """Do the worker's work until nothing is due: send, and reconcile."""
    run_workers()
    run_periodic_jobs()


def run_periodic_jobs() -> None:
    """Run each of the worker's periodic jobs on operations once."""
    for path in settings.WORKER_JOBS:
        if path.startswith("iotda_admin.operations."):
            import_string(path)()


def expire_leases_and_waits() -> None:
    """Let all leases run out and end all waits."""
    past = timezone.now() - LONG_AGO
    open_chunks = Chunk.objects.exclude(state=Chunk.State.DONE)
    open_chunks.update(due_at=past)
    open_chunks.filter(state=Chunk.State.SENT).update(lease_until=past)
    Operation.objects.filter(state=Operation.State.RUNNING).update(waits_until=None)


def records(key: str) -> Records:
    """Return one consistent snapshot of an operation."""
    with transaction.atomic():
        rows = list(Operation.objects.filter(form_key=key))
        if not rows:
            return Records()
        chunks = {
            pk: RecordedChunk(state, attempts)
            for pk, state, attempts in rows[0].chunks.values_list(
                "pk", "state", "attempts"
            )
        }
        result = Records(
            len(rows),
            rows[0].pk,
            rows[0].finished_at is not None,
            rows[0].state,
            chunks=chunks,
        )
        for id, state, code, chunk in rows[0].targets.values_list(
            "target_id", "state", "error_code", "chunk"
        ):
            result.targets[id], result.codes[id] = state, code
            chunks[chunk].targets.append(id)
    return result


def count_answered(key: str) -> int:
    """Return how many targets no longer wait for an answer."""
    targets = Target.objects.filter(operation__form_key=key)
    return targets.exclude(state__in=[Target.State.PENDING, Target.State.SENT]).count()


def count_with_outcome(key: str) -> int:
    return Target.objects.filter(
        operation__form_key=key, settled_at__isnull=False
    ).count()


def run_until_finished(keys: Sequence[str], pause: float = 0.0) -> list[list[Records]]:
    """Time passes and a fresh worker works until all of these have ended; check after each step."""
    looks = [[records(key) for key in keys]]
    for _round in range(ROUNDS):
        if all(look.ended for look in looks[-1]):
            break
        followed = any(look.chunks_in("followed") for look in looks[-1])
        time.sleep(pause or (FOLLOW_PAUSE if followed else 0))
        expire_leases_and_waits()
        run_worker()
        looks.append([records(key) for key in keys])
    return looks


def run_all(
    wanted: Sequence[tuple[str, Sequence[str], str]],
    keys: Sequence[str],
    auth: str,
    pause: float,
) -> list[list[Records]]:
    """Create and dispatch all of these, then run the worker until they end."""
    log_in_with(auth)
    for (verb, ids, policy), key in zip(wanted, keys, strict=True):
        create_operation(verb, ids, policy, key)
        dispatch_operation(key)
    asked_for = [records(key) for key in keys]
    run_worker()
    return [asked_for, *run_until_finished(keys, pause)]


def log_in_with(auth: str) -> None:
    settings.IOTDA_AUTH, settings.IAM_ENDPOINT = auth, settings.IOTDA_ENDPOINT
    settings.IAM_DOMAIN, settings.IAM_USER, settings.IAM_PASSWORD = SIMULATED_LOGIN
    connection.client().close()
    connection.client.cache_clear()


INVENTORY: list[tuple[str, Any]] = []


def keep_inventory() -> None:
    """Remember the inventory of a fresh simulator."""
    INVENTORY[:] = Device.objects.values_list("pk", "status")


def restore_inventory() -> None:
    """Restore the devices of the inventory, and forget all bindings."""
    for status in {status for _id, status in INVENTORY}:
        Device.objects.filter(
            pk__in=[id for id, was in INVENTORY if was == status]
        ).update(status=status)
    Binding.objects.all().delete()


def prepare_changes_to_undo(
    undone: Sequence[tuple[Sequence[str], str]], mirrored: bool
) -> None:
    """Freeze or bind the targets directly at IoTDA, without an operation."""
    client = connection.client()
    for ids, policy in undone:
        if policy:
            for some in batched(ids, 20):
                client.bind_device_policy(policy, "device", some)
        for id in () if policy else ids:
            with suppress(Rejected):
                client.freeze_device(id)
        if policy and mirrored:
            Binding.objects.bulk_create(
                Binding(policy_id=policy, target_type="device", target_id=i)
                for i in ids
            )


def freeze_by_task_above(devices: int) -> None:
    """Freeze more devices than this with a batch task."""
    settings.BATCH_TASK_ABOVE = devices


def set_deadline(seconds: float) -> None:
    settings.IOTDA_DEADLINE = settings.IOTDA_CONNECT_TIMEOUT = seconds
    connection.client.cache_clear()


def time_calls(seconds: list[float]) -> None:
    """Record the duration of each call from now on, less the delays of the machine."""
    call = BaseClient._call

    def timed(client: BaseClient, *args: Any, **more: Any) -> Any:
        watch = Stopwatch()
        try:
            with watch:
                return call(client, *args, **more)
        finally:
            seconds.append(watch.seconds)

    # On the class: each process creates its own client.
    BaseClient._call = timed  # type: ignore[assignment,method-assign]


def raw_bind(policy: str, ids: Sequence[str], seconds: float) -> requests.Response:
    """Bind as a simple script does, with only our signature."""
    path = f"/v5/iot/{settings.IOTDA_PROJECT_ID}/device-policies/{policy}/bind"
    with requests.Session() as http:
        http.trust_env = False
        about = {"target_type": "device", "target_ids": list(ids)}
        url = settings.IOTDA_ENDPOINT + path
        return http.post(
            url, json=about, auth=connection.credentials(), timeout=seconds
        )


@contextmanager
def intents_off() -> Iterator[None]:
    """Control of kill9: commit nothing before the calls are made."""
    whole = transaction.atomic()
    whole._from_testcase = True  # type: ignore[attr-defined]  # durable blocks may be inside
    with whole:
        yield


def new_backup(number: int) -> Path:
    return Path(settings.DATA_DIR) / f"backup-{number}"


def back_up_to(file: Path) -> None:
    back_up(file)


def put_back(file: Path) -> None:
    """Replace the database by the backup, as an administrator does."""
    connections.close_all()
    own_connection.close_connection()
    if connections["default"].vendor == "postgresql":
        with connections["default"].cursor() as cursor:
            cursor.execute("drop schema public cascade; create schema public")
    else:
        live = Path(connections["default"].settings_dict["NAME"])
        for end in ("", *SIDE_FILES):
            live.with_name(live.name + end).unlink(missing_ok=True)
    restore(file)
    file.unlink()


def continue_held(key: str) -> bool:
    """Continue an operation as a user does; return whether it was held."""
    operation = Operation.objects.get(form_key=key)
    return operation.held and continue_operation(operation, actor())


def send_old_work() -> None:
    """Control of the restores: hold nothing."""
    for module in (leases, executor, reconciliation):
        # Each module has imported the name.
        module.hold_old_work = lambda: None  # type: ignore[attr-defined]


def every_error_is_a_failure() -> None:
    """Control of the schedules: record every error as failed, as SDK callers do."""
    result_writer.classify = lambda *_, **__: ErrorAction.FAIL  # type: ignore[attr-defined]
    for name in [verb.name for verb in all_verbs()]:
        type(get_verb(name)).stops = lambda *_: False  # type: ignore[method-assign]


def close_connections() -> None:
    """Close the connections of this thread, which runs outside a request."""
    connections.close_all()


def disable_logging() -> None:
    """Hundreds of lost answers are expected here."""
    logging.disable(
        logging.CRITICAL if not os.environ.get("CHAOS_LOG") else logging.NOTSET
    )
