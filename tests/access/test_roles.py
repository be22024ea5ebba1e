"""Which permissions a role gets from its declarations, and when."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command

from iotda_admin.access import roles
from iotda_admin.access.models import RoleLimit
from iotda_admin.audit.models import Event

ERASE = "devices.erase_device"


def holders(label: str) -> set[str]:
    app_label, _dot, codename = label.partition(".")
    groups = Group.objects.filter(
        permissions__content_type__app_label=app_label, permissions__codename=codename
    )
    return set(groups.values_list("name", flat=True))


@pytest.fixture
def declared(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A permission that a new version of the product declares."""
    monkeypatch.setattr(roles, "PERMISSIONS", dict(roles.PERMISSIONS))
    roles.declare_permission(ERASE, "Can erase devices", "policy admin", "admin")


def test_a_new_permission_is_given_to_its_roles(declared: None) -> None:
    call_command("migrate", verbosity=0)
    assert holders(ERASE) == {"policy admin", "admin"}
    permission = Permission.objects.get(codename="erase_device")
    assert permission.content_type.model_class()._meta.label == "devices.Device"


def test_a_permission_that_an_admin_took_away_stays_taken_away(declared: None) -> None:
    roles.create_permissions()
    permission = Permission.objects.get(codename="erase_device")
    Group.objects.get(name="admin").permissions.remove(permission)
    roles.create_permissions()
    assert holders(ERASE) == {"policy admin"}


def test_a_deleted_or_renamed_role_is_not_created_again(declared: None) -> None:
    Group.objects.filter(name="policy admin").update(name="policies")
    Group.objects.get(name="viewer").delete()
    roles.create_permissions()
    assert holders(ERASE) == {"admin"}
    assert not Group.objects.filter(name__in=["policy admin", "viewer"]).exists()


def test_a_flushed_database_gets_the_roles_and_their_limits(db: None) -> None:
    Permission.objects.all().delete()
    Group.objects.all().delete()
    events = Event.objects.count()
    roles.create_permissions()
    assert set(Group.objects.values_list("name", flat=True)) == set(roles.ROLES)
    for label, declared in roles.PERMISSIONS.items():
        assert holders(label) == declared.roles
    limits = RoleLimit.objects.values_list("group__name", "targets")
    assert dict(limits) == {"operator": 1000}
    assert Event.objects.count() == events


def test_a_declaration_names_only_roles_that_exist() -> None:
    with pytest.raises(ValueError, match="no such role: boss"):
        roles.declare_permission("devices.erase_device", "Can erase", "boss")
