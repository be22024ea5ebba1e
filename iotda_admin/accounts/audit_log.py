"""Record each change of a user or role, its resource spaces or its limit as an audit event.

Django's signals report what the admin, `manage.py` and a shell save, delete, link and
unlink. They do not report `QuerySet.update`, `bulk_create` and SQL. Events never contain a
password or its hash.
"""

from collections.abc import Iterable, Set
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Model
from django.db.models.signals import (
    m2m_changed,
    post_delete,
    post_save,
    pre_delete,
    pre_save,
)

from devices.models import Space
from iotda_admin.access.models import EVERY_SPACE, Grant, RoleLimit
from iotda_admin.access.roles import permission_label
from iotda_admin.accounts import sessions
from iotda_admin.accounts.account_events import record_account_event

# The recorded fields of each model, besides its links.
AUDITED_FIELDS: dict[type[Model], tuple[str, ...]] = {
    User: (
        "username",
        "first_name",
        "last_name",
        "email",
        "is_active",
        "is_staff",
        "is_superuser",
    ),
    Group: ("name",),
    Grant: ("app_id",),
    RoleLimit: ("targets",),
}
# The name of the links of each link table.
AUDITED_LINKS = {
    User.groups.through: "groups",
    User.user_permissions.through: "user_permissions",
    Group.permissions.through: "permissions",
}

# The most users that the event of a deleted role lists in its detail.
NAMED_USERS = 100

type Changes = dict[str, list[Any]]


def record_change(
    owner: Model, changes: Changes, space: str = "", others: Iterable[str] = ()
) -> None:
    """Append an event with the old and new value of each changed field.

    Only readers of `space` see the event. `others` are further users it concerns.
    """
    kind = "user" if isinstance(owner, User) else "role"
    # After a rename, a search for either name finds the event.
    renamed = changes.get("username") or changes.get("name") or []
    names = dict.fromkeys([str(owner), *filter(None, renamed)])
    text = "; ".join(
        f"{name}: {plain_value(old)} → {plain_value(new)}"
        for name, (old, new) in changes.items()
    )
    record_account_event(
        "account.changed",
        space=space,
        summary=f"{kind} {owner}: {text}",
        targets=[
            *((each, f"{kind} {each}") for each in names),
            *((each, f"user {each}") for each in others),
        ],
        detail={"what": kind, "id": owner.pk, "name": str(owner), "changes": changes},
    )


def plain_value(value: Any) -> str:
    match value:
        case list():
            return ", ".join(value) or "none"
        case bool():
            return "yes" if value else "no"
        case None | "":
            return "none"
    return str(value)


def remember_values(
    instance: Model, update_fields: Set[str] | None = None, **_: Any
) -> None:
    # Each sign-in saves last_login; that is not a change.
    if update_fields != {"last_login"}:
        stored = type(instance)._default_manager.filter(pk=instance.pk).values()
        instance._before = stored.first() or {}  # type: ignore[attr-defined]


def record_save(
    instance: Model, update_fields: Set[str] | None = None, **_: Any
) -> None:
    old, changes = instance.__dict__.pop("_before", None), {}
    if old is None:
        return
    for name in AUDITED_FIELDS[type(instance)]:
        was, now = old.get(name), getattr(instance, name)
        if was != now and (old or now):
            changes[name] = [was, now]
    if isinstance(instance, User) and old:
        # Django hashes the same password again at a sign-in after the hasher was changed.
        rehashed = update_fields == {"password"} and instance._password is None  # type: ignore[attr-defined]
        if instance.password != old["password"] and not rehashed:
            changes["password"] = ["kept secret", "changed"]
        if "is_active" in changes:
            # A reactivated user must sign in again, even if a deactivation was not recorded.
            sessions.end_user_sessions(instance)
    if changes:
        record_row_change(instance, changes)


def record_deletion(instance: Model, **_: Any) -> None:
    """Record the deletion of a user or role, with its links: they send no signal."""
    changes = removed_values(instance)
    for name in AUDITED_LINKS.values():
        if hasattr(instance, name) and (held := row_labels(getattr(instance, name))):
            changes[name] = [held, []]
    losers = []
    if isinstance(instance, Group):
        losers = sorted(instance.user_set.values_list("username", flat=True))
    if losers:
        named = losers[:NAMED_USERS]
        if more := len(losers) - len(named):
            named.append(f"… (+{more})")
        changes["users"] = [named, []]
    record_change(instance, changes, others=losers)


def record_removal(instance: Model, **_: Any) -> None:
    record_row_change(instance, removed_values(instance))


def removed_values(instance: Model) -> Changes:
    names = AUDITED_FIELDS[type(instance)]
    return {name: [getattr(instance, name), None] for name in names}


def record_row_change(instance: Model, changes: Changes) -> None:
    """Record a change; that of a grant or limit is one of its user or role."""
    match instance:
        case RoleLimit():
            record_change(instance.group, {"limit": changes["targets"]})
        case Grant():
            old, new = changes["app_id"]
            now = set(instance.user.grants.values_list("app_id", flat=True))
            was = (now - {new}) | ({old} - {None})
            space, *others = was | now
            record_change(
                instance.user,
                {"spaces": [labels_of_spaces(was), labels_of_spaces(now)]},
                EVERY_SPACE if others else space,
            )
        case _:
            record_change(instance, changes)


def labels_of_spaces(app_ids: set[str]) -> list[str]:
    """Name the spaces with their ids, because names can be reused."""
    spaces = Space.objects.filter(pk__in=app_ids)
    names = {space.pk: f"{space} ({space.pk})" for space in spaces}
    names[EVERY_SPACE] = "every space"
    return sorted(names.get(app_id, app_id) for app_id in app_ids)


def record_link_change(
    sender: type[Model],
    instance: Model,
    action: str,
    reverse: bool,
    model: type[Model],
    pk_set: set[Any] | None,
    **_: Any,
) -> None:
    """Record added or removed links of each owner; without `pk_set`, all are removed."""
    if action not in ("post_add", "pre_remove", "pre_clear"):
        return
    name, moved = AUDITED_LINKS[sender], pk_set
    owners: Iterable[Model] = [instance]
    if reverse:
        of_instance = {name: instance} if pk_set is None else {"pk__in": pk_set}
        owners, moved = model._default_manager.filter(**of_instance), {instance.pk}
    for owner in owners:
        links = getattr(owner, name)
        others = links.none() if moved is None else links.exclude(pk__in=moved)
        old, new = row_labels(others), row_labels(links)
        if action != "post_add":
            old, new = new, old
        if old != new:
            record_change(owner, {name: [old, new]})


def row_labels(rows: Any) -> list[str]:
    """Return the labels of permissions, or the names of roles."""
    if rows.model is Permission:
        return sorted(map(permission_label, rows.select_related("content_type")))
    return sorted(map(str, rows.all()))


# One receiver per model: with a receiver for all, Django loads every row that it deletes.
for model in AUDITED_FIELDS:
    pre_save.connect(remember_values, model)
    post_save.connect(record_save, model)
for model in (User, Group):
    pre_delete.connect(record_deletion, model)
for model in (Grant, RoleLimit):
    post_delete.connect(record_removal, model)
for through in AUDITED_LINKS:
    m2m_changed.connect(record_link_change, through)
