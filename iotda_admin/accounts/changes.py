"""Each change of a user or role, of its resource spaces or its limit, is an event of the trail, if Django
tells of it: what is saved, deleted, linked or unlinked, in its admin, by `manage.py`, in a shell. It does not
tell of `QuerySet.update` and `bulk_create`, nor of SQL: whoever uses those in a shell leaves no event.
Never with a password or its hash.
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
from iotda_admin.accounts import acting, sessions

# What is told of each, besides what it is linked to.
FIELDS: dict[type[Model], tuple[str, ...]] = {
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
# The model that has the links, what they are called there, and at the other end.
LINKS: dict[type[Model], tuple[type[Model], str, str]] = {
    User.groups.through: (User, "groups", "user_set"),
    User.user_permissions.through: (User, "user_permissions", "user_set"),
    Group.permissions.through: (Group, "permissions", "group_set"),
}

# Who loses a deleted role is found by each name; so many of them its event lists itself.
LISTED = 100

type Changes = dict[str, list[Any]]


def tell(
    owner: Model, changes: Changes, space: str = "", others: Iterable[str] = ()
) -> None:
    """What was before and is now, by name. space: what it names, so that nobody elsewhere reads of it.
    others: the users whom it concerns besides."""
    kind, name = ("user", "username") if isinstance(owner, User) else ("role", "name")
    # Renamed, it is found by both names.
    names = dict.fromkeys([str(owner), *filter(None, changes.get(name, []))])
    said = "; ".join(
        f"{name}: {words(old)} → {words(new)}" for name, (old, new) in changes.items()
    )
    acting.record(
        "account.changed",
        space=space,
        summary=f"{kind} {owner}: {said}"[:500],
        targets=[
            *((each, f"{kind} {each}") for each in names),
            *((each, f"user {each}") for each in others),
        ],
        detail={"what": kind, "id": owner.pk, "name": str(owner), "changes": changes},
    )


def words(value: Any) -> str:
    match value:
        case list():
            return ", ".join(value) or "none"
        case bool():
            return "yes" if value else "no"
        case None | "":
            return "none"
    return str(value)


def before(instance: Model) -> dict[str, Any]:
    columns = [
        *FIELDS[type(instance)],
        *(["password"] if isinstance(instance, User) else []),
    ]
    rows = type(instance)._default_manager.filter(pk=instance.pk).values(*columns)
    return rows.first() or {} if instance.pk else {}


def look(instance: Model, update_fields: Iterable[str] | None = None, **_: Any) -> None:
    # Each sign-in saves the time of it, and nothing else.
    if set(update_fields or []) != {"last_login"}:
        instance._before = before(instance)  # type: ignore[attr-defined]


def saved(
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
        for name in FIELDS[sender]
        if old.get(name) != getattr(instance, name) and (old or getattr(instance, name))
    }
    if (
        isinstance(instance, User)
        and old
        and password_changed(instance, old["password"], update_fields)
    ):
        changes["password"] = ["kept secret", "changed"]
    if isinstance(instance, User) and old and "is_active" in changes:
        # Who is activated again has to sign in again, also where the deactivation was not made here.
        sessions.end_all_of(instance)
    if changes:
        tell_of(instance, changes)


def password_changed(user: User, old: str, update_fields: Iterable[str] | None) -> bool:
    """Not where the same password was only hashed anew, as at a sign-in after the hashing has changed."""
    anew = set(update_fields or []) == {"password"} and user._password is None  # type: ignore[attr-defined]
    return user.password != old and not anew


def deleting(sender: type[Model], instance: Model, **_: Any) -> None:
    """With its links, which go unannounced."""
    changes = {name: [getattr(instance, name), None] for name in FIELDS[sender]}
    for name in (name for owner, name, _other_end in LINKS.values() if owner is sender):
        links = getattr(instance, name)
        if held := labels(links.model, set(links.values_list("pk", flat=True))):
            changes[name] = [held, []]
    losers = (
        sorted(instance.user_set.values_list("username", flat=True))
        if isinstance(instance, Group)
        else []
    )
    if losers:
        more = [f"… (+{len(losers) - LISTED})"] if len(losers) > LISTED else []
        changes["users"] = [losers[:LISTED] + more, []]
    tell(instance, changes, others=losers)


def deleted(sender: type[Model], instance: Model, **_: Any) -> None:
    tell_of(
        instance, {name: [getattr(instance, name), None] for name in FIELDS[sender]}
    )


def tell_of(instance: Model, changes: Changes) -> None:
    """A space and a limit are told of as what their user or role has."""
    match instance:
        case RoleLimit():
            tell(instance.group, {"limit": changes["targets"]})
        case Grant():
            old, new = changes["app_id"]
            now = set(
                Grant.objects.filter(user=instance.user_id).values_list(
                    "app_id", flat=True
                )
            )
            was = (now - {new}) | ({old} - {None})
            space = next(iter(was | now)) if len(was | now) == 1 else EVERY_SPACE
            tell(instance.user, {"spaces": [named(was), named(now)]}, space)
        case _:
            tell(instance, changes)


def named(app_ids: set[str]) -> list[str]:
    """With the id beside the name: a name may be given to another space tomorrow."""
    spaces = Space.objects.filter(pk__in=app_ids)
    names = {space.pk: f"{space} ({space.pk})" for space in spaces} | {
        EVERY_SPACE: "every space"
    }
    return sorted(names.get(app_id, app_id) for app_id in app_ids)


def linked(
    sender: type[Model],
    instance: Model,
    action: str,
    reverse: bool,
    pk_set: set[Any] | None,
    **_: Any,
) -> None:
    if action not in ("post_add", "pre_remove", "pre_clear"):
        return
    _model, name, _other_end = LINKS[sender]
    for owner, moved in owners(sender, instance, reverse, pk_set):
        now = set(getattr(owner, name).values_list("pk", flat=True))
        moved = now if moved is None else moved & now
        old, new = (now - moved, now) if action == "post_add" else (now, now - moved)
        if old != new:
            tell(
                owner,
                {name: [labels(getattr(owner, name).model, pks) for pks in (old, new)]},
            )


def owners(
    sender: type[Model], instance: Model, reverse: bool, pk_set: set[Any] | None
) -> Iterator[tuple[Model, set[Any] | None]]:
    """Whose links are changed, and which of them; None: all."""
    model, _name, other_end = LINKS[sender]
    if not reverse:
        yield instance, pk_set
        return
    everyone = getattr(instance, other_end).all()
    found = everyone if pk_set is None else model._default_manager.filter(pk__in=pk_set)
    yield from ((owner, {instance.pk}) for owner in found)


def labels(model: type[Model], pks: set[Any]) -> list[str]:
    if model is Permission:
        rows = Permission.objects.filter(pk__in=pks).values_list(
            "content_type__app_label", "codename"
        )
        return sorted(".".join(row) for row in rows)
    return sorted(map(str, model._default_manager.filter(pk__in=pks)))


# Each for its own model: with a listener for all, Django would load every row that is deleted anywhere.
for model in FIELDS:
    pre_save.connect(look, model)
    post_save.connect(saved, model)
for model in (User, Group):
    pre_delete.connect(deleting, model)
for model in (Grant, RoleLimit):
    post_delete.connect(deleted, model)
for through in LINKS:
    m2m_changed.connect(linked, through)
