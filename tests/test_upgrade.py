"""A database made before the models moved is migrated, and loses nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from iotda_admin.access.limits import target_limit
from iotda_admin.access.roles import PERMISSIONS
from iotda_admin.access.scope import user_spaces
from iotda_admin.audit.chain import NewEvent, append_events
from iotda_admin.audit.models import Event
from iotda_admin.audit.record import record_event
from iotda_admin.operations.models import Operation, Target

# The last migrations at the commit 882a5e6.
OLD_MIGRATIONS = [
    ("accounts", "0004_login_tries"),
    ("audit", "0009_last_characters"),
    ("auth", "0012_alter_user_first_name_max_length"),
    ("contenttypes", "0002_remove_content_type_name"),
    ("devices", "0001_initial"),
    ("failures", "0001_initial"),
    ("health", "0001_worker"),
    ("inventory", "0001_initial"),
    ("operations", "0004_spaces_and_failures"),
    ("policies", "0001_initial"),
    ("rate", "0002_pause"),
    ("sessions", "0001_initial"),
]
FREEZE = "devices.freeze_device"


@pytest.fixture
def empty_database(tmp_path: Path, transactional_db: None) -> Iterator[None]:
    """Point the connection to a database without tables."""
    old = connection.settings_dict["NAME"]
    name = str(tmp_path / "old.sqlite3")
    if connection.vendor == "postgresql":
        name = f"{old}_upgrade"
        execute(f'DROP DATABASE IF EXISTS "{name}"', f'CREATE DATABASE "{name}"')
    switch_to(name)
    yield
    switch_to(old)
    if connection.vendor == "postgresql":
        execute(f'DROP DATABASE "{name}"')


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def switch_to(name: str) -> None:
    connection.close()
    if connection.vendor == "postgresql":
        connection.close_pool()  # type: ignore[attr-defined]
    connection.settings_dict["NAME"] = name


@pytest.fixture
def old_models(empty_database: None) -> Any:
    """The models of that commit, in a database as its `manage.py migrate` left it."""
    state = MigrationExecutor(connection).migrate(OLD_MIGRATIONS)
    emit_post_migrate_signal(0, False, "default", apps=state.apps, plan=[])
    return state.apps


def role_permissions() -> dict[str, set[str]]:
    roles: dict[str, set[str]] = {name: set() for name in names_of(Group)}
    rows = Group.objects.filter(permissions__isnull=False).values_list(
        "name", "permissions__content_type__app_label", "permissions__codename"
    )
    for name, app_label, codename in rows:
        roles[name].add(f"{app_label}.{codename}")
    return roles


def names_of(model: Any) -> list[str]:
    return list(model.objects.values_list("name", flat=True))


def add_users(apps: Any) -> None:
    """Three users, a role that an admin made, and a permission that an admin removed."""
    Group_, User_ = apps.get_model("auth", "Group"), apps.get_model("auth", "User")
    Permission_ = apps.get_model("auth", "Permission")
    Grant, Cap = (apps.get_model("accounts", name) for name in ("Grant", "Cap"))
    night = Group_.objects.create(name="night shift")
    night.permissions.add(Permission_.objects.get(codename="freeze_device"))
    Cap.objects.create(group=night, targets=7)
    Cap.objects.filter(group__name="operator").update(targets=50)
    Group_.objects.get(name="auditor").permissions.remove(
        Permission_.objects.get(codename="export_event")
    )
    Group_.objects.get(name="viewer").delete()
    for name, role, space in (
        ("operator", "operator", "*"),
        ("night", "night shift", "north"),
        ("auditor", "auditor", "south"),
    ):
        user = User_.objects.create(username=name, password="!")
        user.groups.add(Group_.objects.get(name=role))
        Grant.objects.create(user=user, app_id=space)


def add_operation(apps: Any) -> int:
    """An operation with a chunk, and one target of each outcome."""
    models = ("Operation", "OperationSpace", "Chunk", "Target")
    Operation_, Space, Chunk, Target_ = (
        apps.get_model("operations", m) for m in models
    )
    user = apps.get_model("auth", "User").objects.get(username="operator")
    operation = Operation_.objects.create(
        verb="device.freeze",
        target_type="device",
        reason="unpaid",
        ticket="T-1",
        actor=user,
        actor_name="operator",
        role="operator",
        source="web",
        form_key="key",
        input_digest="digest",
        state="done",
    )
    Space.objects.create(operation=operation, app_id="north")
    chunk = Chunk.objects.create(operation=operation, number=1, state="done", token=1)
    for state in OUTCOMES:
        Target_.objects.create(
            operation=operation,
            chunk=chunk,
            target_id=f"device-{state}",
            subject=f"status of device-{state}",
            state=state,
        )
    return int(operation.pk)


OUTCOMES = ["ok", "already", "failed", "unknown", "skipped", "cancelled"]


def add_events(operation: int) -> None:
    """Events of several kinds, appended to the chain by the product's own code."""
    user = User.objects.get(username="operator")
    record_event("login", actor=user, source="web")
    targets = [(f"device-{state}", "", state) for state in OUTCOMES]
    record_event("operation.asked", actor=user, operation=operation, targets=targets)
    detail = {"count": 51, "cap": 50, "targets": ["device-ok"]}
    # That version did not count denied requests: `record_event` would.
    append_events(
        [NewEvent({"kind": "denied", "outcome": "denied", "detail": detail}, ())]
    )


def known_permissions() -> set[str]:
    rows = Permission.objects.values_list("content_type__app_label", "codename")
    return {".".join(row) for row in rows}


def check_roles(before: dict[str, set[str]], new: set[str]) -> None:
    """Each role has what it had, and the permissions that are new in this version."""
    expected = {
        role: held | {label for label in new if role in PERMISSIONS[label].roles}
        for role, held in before.items()
    }
    assert role_permissions() == expected
    assert "audit.export_event" not in expected["auditor"]
    assert "viewer" not in expected
    care = Permission.objects.get(codename="change_care")
    assert care.name == PERMISSIONS["failures.change_care"].name


def check_grants_and_limits() -> None:
    users = {user.username: user for user in User.objects.all()}
    assert {name: user_spaces(user) for name, user in users.items()} == {
        "operator": None,
        "night": {"north"},
        "auditor": {"south"},
    }
    assert target_limit(users["operator"], FREEZE) == 50
    assert target_limit(users["night"], FREEZE) == 7
    # The stubs expect a model instance; our backend takes the ID of a resource space.
    assert users["night"].has_perm(FREEZE, "north")  # type: ignore[arg-type]
    assert not users["night"].has_perm(FREEZE, "south")  # type: ignore[arg-type]


def check_operation(pk: int) -> None:
    operation = Operation.objects.get(pk=pk)
    assert (operation.actor_name, operation.ticket) == ("operator", "T-1")
    assert list(operation.spaces.values_list("app_id", flat=True)) == ["north"]
    targets = Target.objects.filter(operation=pk, chunk__number=1)
    assert sorted(targets.values_list("state", flat=True)) == sorted(OUTCOMES)


def test_an_old_database_keeps_its_roles_grants_limits_operations_and_trail(
    old_models: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    add_users(old_models)
    operation = add_operation(old_models)
    add_events(operation)
    events = list(Event.objects.order_by("id").values_list("id", "hash"))
    roles, permissions = role_permissions(), known_permissions()

    call_command("migrate", verbosity=0)

    check_roles(roles, PERMISSIONS.keys() - permissions)
    check_grants_and_limits()
    check_operation(operation)
    assert list(Event.objects.order_by("id").values_list("id", "hash")) == events
    record_event("logout", actor=User.objects.get(username="operator"))
    call_command("audit_verify")
    assert "4 events" in capsys.readouterr().out
