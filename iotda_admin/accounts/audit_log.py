"""Record each change of a user or role, its resource spaces or its limit as an audit event.

Django's signals report what the admin, `manage.py` and a shell save, delete, link and
unlink. They do not report `QuerySet.update`, `bulk_create` and SQL. Events never contain a
password or its hash.
"""

from collections.abc import Iterable, Iterator
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
from iotda_admin.accounts import current_request, sessions

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
# For each link table: the model that owns the links, and their name at both ends.
AUDITED_LINKS: dict[type[Model], tuple[type[Model], str, str]] = {
    User.groups.through: (User, "groups", "user_set"),
    User.user_permissions.through: (User, "user_permissions", "user_set"),
    Group.permissions.through: (Group, "permissions", "group_set"),
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
    kind, name = ("user", "username") if isinstance(owner, User) else ("role", "name")
    # After a rename, a search for either name finds the event.
    names = dict.fromkeys([str(owner), *filter(None, changes.get(name, []))])
    text = "; ".join(
        f"{name}: {plain_value(old)} → {plain_value(new)}"
        for name, (old, new) in changes.items()
    )
    current_request.record_account_event(
        "account.changed",
        space=space,
        summary=f"{kind} {owner}: {text}"[:500],
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


def stored_values(instance: Model) -> dict[str, Any]:
    columns = [
        *AUDITED_FIELDS[type(instance)],
        *(["password"] if isinstance(instance, User) else []),
    ]
    rows = type(instance)._default_manager.filter(pk=instance.pk).values(*columns)
    return rows.first() or {} if instance.pk else {}


def remember_values(
    instance: Model, update_fields: Iterable[str] | None = None, **_: Any
) -> None:
    # Each sign-in saves last_login; that is not a change.
    if set(update_fields or []) != {"last_login"}:
        instance._before = stored_values(instance)  # type: ignore[attr-defined]


def record_save(
    sender: type[Model],
    instance: Model,
    update_fields: Iterable[str] | None = None,
    **_: Any,
) -> None:
    if not hasattr(instance, "_before"):
        return
    old = instance.__dict__.pop("_before")
    changes = {
        name: [old.get(name), getattr(instance, name)]
        for name in AUDITED_FIELDS[sender]
        if old.get(name) != getattr(instance, name) and (old or getattr(instance, name))
    }
    if isinstance(instance, User) and old:
        if password_changed(instance, old["password"], update_fields):
            changes["password"] = ["kept secret", "changed"]
        if "is_active" in changes:
            # A reactivated user must sign in again, even if a deactivation was not recorded.
            sessions.end_user_sessions(instance)
    if changes:
        record_row_change(instance, changes)


def password_changed(user: User, old: str, update_fields: Iterable[str] | None) -> bool:
    """Return whether it changed; a new hash of the same password does not count.

    Django hashes it again at a sign-in after the hasher was changed.
    """
    rehashed = set(update_fields or []) == {"password"} and user._password is None  # type: ignore[attr-defined]
    return user.password != old and not rehashed


def record_deletion(sender: type[Model], instance: Model, **_: Any) -> None:
    """Record the deletion of a user or role, with its links: they send no signal."""
    changes = {name: [getattr(instance, name), None] for name in AUDITED_FIELDS[sender]}
    for owner, name, _other_end in AUDITED_LINKS.values():
        if owner is sender:
            links = getattr(instance, name)
            if held := row_labels(links.model, set(links.values_list("pk", flat=True))):
                changes[name] = [held, []]
    losers = (
        sorted(instance.user_set.values_list("username", flat=True))
        if isinstance(instance, Group)
        else []
    )
    if losers:
        more = (
            [f"… (+{len(losers) - NAMED_USERS})"] if len(losers) > NAMED_USERS else []
        )
        changes["users"] = [losers[:NAMED_USERS] + more, []]
    record_change(instance, changes, others=losers)


def record_removal(sender: type[Model], instance: Model, **_: Any) -> None:
    record_row_change(
        instance,
        {name: [getattr(instance, name), None] for name in AUDITED_FIELDS[sender]},
    )


def record_row_change(instance: Model, changes: Changes) -> None:
    """Record a change; that of a grant or limit is one of its user or role."""
    match instance:
        case RoleLimit():
            record_change(instance.group, {"limit": changes["targets"]})
        case Grant():
            old, new = changes["app_id"]
            now = set(
                Grant.objects.filter(user=instance.user_id).values_list(
                    "app_id", flat=True
                )
            )
            was = (now - {new}) | ({old} - {None})
            space = next(iter(was | now)) if len(was | now) == 1 else EVERY_SPACE
            record_change(
                instance.user,
                {"spaces": [labels_of_spaces(was), labels_of_spaces(now)]},
                space,
            )
        case _:
            record_change(instance, changes)


def labels_of_spaces(app_ids: set[str]) -> list[str]:
    """Name the spaces with their ids, because names can be reused."""
    spaces = Space.objects.filter(pk__in=app_ids)
    names = {space.pk: f"{space} ({space.pk})" for space in spaces} | {
        EVERY_SPACE: "every space"
    }
    return sorted(names.get(app_id, app_id) for app_id in app_ids)


def record_link_change(
    sender: type[Model],
    instance: Model,
    action: str,
    reverse: bool,
    pk_set: set[Any] | None,
    **_: Any,
) -> None:
    if action not in ("post_add", "pre_remove", "pre_clear"):
        return
    _model, name, _other_end = AUDITED_LINKS[sender]
    for owner, moved in owners_of_links(sender, instance, reverse, pk_set):
        now = set(getattr(owner, name).values_list("pk", flat=True))
        moved = now if moved is None else moved & now
        old, new = (now - moved, now) if action == "post_add" else (now, now - moved)
        if old != new:
            record_change(
                owner,
                {
                    name: [
                        row_labels(getattr(owner, name).model, pks)
                        for pks in (old, new)
                    ]
                },
            )


def owners_of_links(
    sender: type[Model], instance: Model, reverse: bool, pk_set: set[Any] | None
) -> Iterator[tuple[Model, set[Any] | None]]:
    """Yield each owner whose links change, and the linked ids; None: all of them."""
    model, _name, other_end = AUDITED_LINKS[sender]
    if not reverse:
        yield instance, pk_set
        return
    everyone = getattr(instance, other_end).all()
    found = everyone if pk_set is None else model._default_manager.filter(pk__in=pk_set)
    yield from ((owner, {instance.pk}) for owner in found)


def row_labels(model: type[Model], pks: set[Any]) -> list[str]:
    if model is Permission:
        rows = Permission.objects.filter(pk__in=pks).values_list(
            "content_type__app_label", "codename"
        )
        return sorted(".".join(row) for row in rows)
    return sorted(map(str, model._default_manager.filter(pk__in=pks)))


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
