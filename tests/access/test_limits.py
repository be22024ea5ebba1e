"""The most targets of one operation, by role."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from iotda_admin.access.actor import Actor
from iotda_admin.access.limits import target_limit
from iotda_admin.access.models import RoleLimit
from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Operation
from iotda_admin.operations.services import LimitExceeded
from tests.cloud import Cloud
from tests.conftest import make_user
from tests.operation_helpers import change_form, create

FREEZE = "devices.freeze_device"


@pytest.fixture
def small(db: None) -> None:
    """Limit operators to two targets."""
    RoleLimit.objects.filter(group__name="operator").update(targets=2)


def test_operators_are_limited_to_a_thousand_targets(db: None) -> None:
    assert target_limit(make_user("operator"), FREEZE) == 1000
    assert target_limit(make_user("admin"), FREEZE) is None


def test_too_many_targets_are_rejected_and_recorded(small: None) -> None:
    user = make_user("operator")
    with pytest.raises(
        LimitExceeded, match="3 targets are more than the 2 that your role"
    ):
        create("device.freeze", "abc", Actor(user, "", "test"))
    assert not Operation.objects.exists()
    assert Event.objects.latest("id").detail["cap"] == 2


def test_the_limit_is_checked_before_the_form_is_shown(
    small: None, operator: Client, inventory: Cloud
) -> None:
    response = operator.post(
        "/devices/selection.freeze/", {"target": inventory.free(3)}
    )
    assert response.status_code == 403
    assert "more than the 2 that your role may change at once" in response.text
    assert 'name="reason"' not in response.text
    (event,) = Event.objects.filter(kind="denied")
    assert (event.verb, event.detail["cap"], event.detail["count"]) == (
        "device.freeze",
        2,
        3,
    )
    assert (
        operator.post(
            "/devices/selection.freeze/", change_form(target=inventory.free(3))
        ).status_code
        == 413
    )
    assert not Operation.objects.exists()


def test_the_largest_limit_of_the_roles_with_the_permission_counts(small: None) -> None:
    user = make_user("operator")
    user.groups.add(Group.objects.get(name="viewer"))
    assert target_limit(user, FREEZE) == 2
    night = Group.objects.create(name="night shift")
    night.permissions.add(Permission.objects.get(codename="freeze_device"))
    RoleLimit.objects.create(group=night, targets=5)
    user.groups.add(night)
    assert target_limit(user, FREEZE) == 5
    user.groups.add(Group.objects.get(name="admin"))
    assert target_limit(user, FREEZE) is None


def test_a_permission_of_the_user_and_a_superuser_have_no_limit(small: None) -> None:
    user = make_user("operator")
    user.user_permissions.add(Permission.objects.get(codename="freeze_device"))
    assert target_limit(user, FREEZE) is None
    assert target_limit(User.objects.create_superuser("boss"), FREEZE) is None
