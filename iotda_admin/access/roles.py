"""The roles, as Django groups, and the permissions that the rooms declare for them."""

from dataclasses import dataclass
from typing import Any

from django.apps import apps as current_apps
from django.db import transaction
from django.db.models import Q
from django.utils.functional import Promise

# The roles, and the most targets of one operation of each; None: no limit.
# Every signed-in user may read devices, products, spaces and policies.
ROLES: dict[str, int | None] = {
    "viewer": None,
    "operator": 1000,
    "policy admin": None,
    "auditor": None,
    "admin": None,
}


@dataclass(frozen=True, slots=True)
class DeclaredPermission:
    """A permission of this product, its name in pages, and the roles that have it at first.

    model is the model that Django files it under. limited: the target limit of a role
    applies to operations that need it.
    """

    name: str | Promise
    roles: frozenset[str]
    model: str
    limited: bool


PERMISSIONS: dict[str, DeclaredPermission] = {}


def declare_permission(
    label: str, name: str | Promise, *roles: str, model: str = "", limited: bool = False
) -> None:
    """Declare a permission, such as ``devices.freeze_device``, when an app gets ready.

    The model is the last word of the label unless it is given.
    """
    if unknown := set(roles) - set(ROLES):
        raise ValueError(f"{label}: no such role: {', '.join(sorted(unknown))}")
    model = model or label.rpartition("_")[2]
    PERMISSIONS[label] = DeclaredPermission(name, frozenset(roles), model, limited)


def permission_named(label: str) -> Q:
    """Return the condition that a permission has this label."""
    app_label, _dot, codename = label.partition(".")
    return Q(content_type__app_label=app_label, codename=codename)


def permission_label(permission: Any) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"


@transaction.atomic
def create_permissions(apps: Any = current_apps, **_: Any) -> None:
    """Create the permissions that are new, and give only these to their roles.

    Runs after each migration. An existing permission is not given again, because an admin
    may have taken it away from a role. For the same reason a role that was deleted or
    renamed is not created again: only a database without any group gets the roles.
    Names follow the declarations.
    """
    try:
        apps.get_model("access", "RoleLimit")
    except LookupError:
        return  # Only some of the migrations have run.
    rows = apps.get_model("auth", "Permission").objects.select_related("content_type")
    existing = {permission_label(row): row for row in rows}
    if PERMISSIONS.keys() - existing.keys():
        create_roles(apps)
    for label, declared in PERMISSIONS.items():
        if label in existing:
            existing[label].name = str(declared.name)
            existing[label].save(update_fields=["name"])
        else:
            create_permission(apps, label)


def create_permission(apps: Any, label: str) -> None:
    """Create a declared permission, and give it to its roles as far as they exist."""
    app_label, _dot, codename = label.partition(".")
    declared, Group = PERMISSIONS[label], apps.get_model("auth", "Group")
    kind, _new = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label=app_label, model=declared.model
    )
    permission = apps.get_model("auth", "Permission").objects.create(
        content_type=kind, codename=codename, name=str(declared.name)
    )
    # bulk_create sends no signals: the audit trail records changes by users.
    Link = Group.permissions.through
    Link.objects.bulk_create(
        Link(group=group, permission=permission)
        for group in Group.objects.filter(name__in=declared.roles)
    )


def create_roles(apps: Any) -> None:
    """Create the roles in a database without any group."""
    Group = apps.get_model("auth", "Group")
    if Group.objects.exists():
        return
    RoleLimit = apps.get_model("access", "RoleLimit")
    groups = Group.objects.bulk_create(Group(name=role) for role in ROLES)
    RoleLimit.objects.bulk_create(
        RoleLimit(group=group, targets=ROLES[group.name])
        for group in groups
        if ROLES[group.name]
    )
