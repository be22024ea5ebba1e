"""What the inventory knows of the targets of a policy."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import QuerySet

from devices.models import Device, Product, Space
from iotda_admin.access.scope import AnyUser, in_scope
from iotda_admin.core.bulk_sql import among
from iotda_admin.operations.models import Operation
from iotda_admin.operations.requests import OperationRequest
from iotda_admin.operations.verbs import OtherSpace
from policies.models import Binding, Policy, TargetType

MODELS = {
    TargetType.DEVICE: Device,
    TargetType.PRODUCT: Product,
    TargetType.SPACE: Space,
}
# The column of a device that names the target it belongs to.
REACHES = {TargetType.PRODUCT: "product_id", TargetType.SPACE: "app_id"}


def known_targets(
    target_type: str, ids: Sequence[str]
) -> QuerySet[Device] | QuerySet[Product] | QuerySet[Space]:
    model = MODELS[TargetType(target_type)]
    rows: QuerySet[Device] = model._default_manager.filter(among("pk", ids))  # type: ignore[assignment]
    return rows


def targets_in_other_spaces(
    policy: Policy, target_type: str, ids: Sequence[str]
) -> QuerySet[Any]:
    """Return the known targets outside the policy's resource space.

    A policy without a space is one of the whole instance.
    """
    rows: QuerySet[Any] = known_targets(target_type, ids)
    if not policy.app_id:
        return rows.none()
    return rows.exclude(app_id__in=["", policy.app_id])


def other_space(
    policy: Policy | None,
    target_type: str,
    ids: Sequence[str],
    user: AnyUser | None = None,
) -> Sequence[OtherSpace]:
    """Return the targets outside the policy's space; only those that the user may see."""
    if policy is None or target_type not in TargetType.values:
        return ()
    rows = targets_in_other_spaces(policy, target_type, ids)
    number = (in_scope(rows, user) if user else rows).count()
    if not number:
        return ()
    space = Space.objects.filter(pk=policy.app_id).first()
    return [OtherSpace(number, str(policy), str(space or policy.app_id))]


def devices_of(target_type: str, ids: Sequence[str]) -> QuerySet[Device] | None:
    """Return the devices of these products or spaces; None for devices or no IDs."""
    if target_type == TargetType.DEVICE or not ids:
        return None
    column = REACHES[TargetType(target_type)]
    return Device.objects.filter(among(column, ids))


def bindings_of(
    about: Operation | OperationRequest, ids: Sequence[str]
) -> QuerySet[Binding]:
    """Return the known bindings of these targets to the policy of a change."""
    rows = Binding.objects.filter(
        among("target_id", ids),
        policy=about.policy_id,
        target_type=about.target_type,
    )
    return rows.order_by()


def names_of_targets(rows: Iterable[Binding]) -> dict[tuple[str, str], tuple[str, str]]:
    """Return the name and the resource space of each target, by its type and ID."""
    ids: dict[str, set[str]] = {}
    for row in rows:
        ids.setdefault(row.target_type, set()).add(row.target_id)
    return {
        (target_type, pk): (name, space)
        for target_type, model in MODELS.items()
        for pk, name, space in model._default_manager.filter(
            pk__in=ids.get(target_type, ())
        ).values_list("pk", "name", "app_id")
    }
