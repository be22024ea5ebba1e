"""Resolves the targets of a policy, and what is already bound to them."""

from collections.abc import Sequence

from django.db.models import QuerySet

from devices.models import Device, Product, Space
from iotda_admin.core.bulk_sql import values_subquery
from iotda_admin.iotda import Client
from iotda_admin.operations.models import Operation
from iotda_admin.operations.requests import OperationRequest, TargetSpec
from policies.models import Binding, TargetType
from policies.sync import refresh_bindings

MODELS = {
    TargetType.DEVICE: Device,
    TargetType.PRODUCT: Product,
    TargetType.SPACE: Space,
}


def known_targets(
    target_type: str, ids: Sequence[str]
) -> QuerySet[Device] | QuerySet[Product] | QuerySet[Space]:
    model = MODELS[TargetType(target_type)]
    rows: QuerySet[Device] = model._default_manager.filter(pk__in=values_subquery(ids))  # type: ignore[assignment]
    return rows


def bindings_of(
    about: Operation | OperationRequest, ids: Sequence[str]
) -> QuerySet[Binding]:
    """Return the known bindings of these targets to the policy of a change."""
    return Binding.objects.filter(
        policy=about.policy_id,
        target_type=about.target_type,
        target_id__in=values_subquery(ids),
    )


def bound_targets(about: Operation | OperationRequest, ids: Sequence[str]) -> set[str]:
    return set(bindings_of(about, ids).values_list("target_id", flat=True))


def resolve_targets(
    client: Client, request: OperationRequest, *, bound: bool
) -> list[TargetSpec]:
    """Return each target with its name and space, and whether it is as requested.

    What is bound is read from IoTDA first. Unknown targets stay in.
    """
    refresh_bindings(client, request.policy_id)
    rows = known_targets(request.target_type, request.ids).order_by()
    known = {id: about for id, *about in rows.values_list("pk", "name", "app_id")}
    have = bound_targets(request, request.ids)
    return [
        TargetSpec(id, name, (id in have) == bound, space)
        for id in request.ids
        for name, space in [known.get(id, ("", ""))]
    ]
