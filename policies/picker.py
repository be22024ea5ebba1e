"""The multi-select of the bind form: find targets, select them, show conflicts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet
from django.http import QueryDict

from devices.models import Device, Product, Space
from iotda_admin.access.scope import AnyUser, in_scope, user_spaces
from iotda_admin.core.bulk_sql import values_subquery
from iotda_admin.operations.web.forms import valid_ids
from policies.models import POLICIES_PER_TARGET, Binding, TargetType
from policies.targets import known_targets

FOUND_SHOWN = CHOSEN_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Choice:
    """A target as the picker shows it."""

    id: str
    name: str
    status: str = ""
    policies: int = 0
    has_policy: bool = False
    known: bool = True

    @property
    def full(self) -> bool:
        return self.policies >= POLICIES_PER_TARGET and not self.has_policy


@dataclass(frozen=True, slots=True)
class Picker:
    target_type: str
    query: str
    found: Sequence[Choice]
    more: bool
    # The first of what was chosen, and the ids of all of it.
    chosen: Sequence[Choice]
    ids: Sequence[str]
    devices_reached: int | None

    @property
    def chosen_ids(self) -> set[str]:
        return set(self.ids)

    @property
    def many(self) -> bool:
        """Return whether they are more than a page shows; the form sends one text then."""
        return len(self.ids) > CHOSEN_SHOWN

    @property
    def text(self) -> str:
        return "\n".join(self.ids)


def read(
    data: QueryDict, policy_id: str, user: AnyUser, more: Iterable[str] = ()
) -> Picker:
    """Return the selection and search of the form after the pressed buttons.

    more: IDs that the form has read besides.
    """
    pressed, _colon, value = data.get("act", "").partition(":")
    target_type = (
        value if pressed == "kind" else data.get("target_type", TargetType.DEVICE)
    )
    if target_type not in TargetType.values:
        target_type = TargetType.DEVICE
    chosen = [] if pressed == "kind" else valid_ids([*data.getlist("target"), *more])
    if pressed == "add":
        chosen = valid_ids(
            [*chosen, value] if target_type != TargetType.SPACE else [value]
        )
    query = (
        "" if pressed == "kind" else data.get("q", "").replace("\0", "").strip()[:128]
    )
    found = search(target_type, query, user)
    shown = describe_choices(target_type, chosen[:CHOSEN_SHOWN], policy_id, user)
    return Picker(
        target_type,
        query,
        annotated(target_type, found[:FOUND_SHOWN], policy_id),
        len(found) > FOUND_SHOWN,
        list(shown.values()),
        chosen,
        reached(target_type, chosen, user),
    )


def search(target_type: str, query: str, user: AnyUser) -> list[Choice]:
    """Return at most one more than is shown, to know whether there are more."""
    if target_type == TargetType.DEVICE:
        if not query:
            return []
        like = (
            Q(device_id__icontains=query)
            | Q(node_id__icontains=query)
            | Q(name__icontains=query)
        )
        return [
            as_choice(row)
            for row in in_scope(Device.objects.filter(like), user)[: FOUND_SHOWN + 1]
        ]
    rows: QuerySet[Product] | QuerySet[Space]
    if target_type == TargetType.PRODUCT:
        rows = Product.objects.filter(
            Q(product_id__icontains=query) | Q(name__icontains=query)
        )
    else:
        rows = Space.objects.filter(
            Q(app_id__icontains=query) | Q(name__icontains=query)
        )
    return [as_choice(row) for row in in_scope(rows, user)[: FOUND_SHOWN + 1]]


def as_choice(row: Device | Product | Space) -> Choice:
    return Choice(row.pk, str(row), getattr(row, "status", ""))


def describe_choices(
    target_type: str, ids: Sequence[str], policy_id: str, user: AnyUser
) -> dict[str, Choice]:
    """Return each ID with what the inventory knows; IoTDA may know other IDs."""
    known = {
        row.pk: as_choice(row)
        for row in in_scope(known_targets(target_type, ids), user)
    }
    told = annotated(
        target_type,
        [known.get(id) or Choice(id, id, known=False) for id in ids],
        policy_id,
    )
    if user_spaces(user) is not None:
        # Do not reveal the number of policies of targets outside the user's spaces.
        told = [
            choice if choice.known else Choice(choice.id, choice.id, known=False)
            for choice in told
        ]
    return {choice.id: choice for choice in told}


def annotated(
    target_type: str, choices: Sequence[Choice], policy_id: str
) -> list[Choice]:
    """With the number of policies each has by our records, and whether this one is among them."""
    ids = [choice.id for choice in choices]
    bindings = Binding.objects.filter(
        target_type=target_type, target_id__in=values_subquery(ids)
    ).order_by()
    counts = dict(bindings.values_list("target_id").annotate(Count("pk")))
    having = (
        set(bindings.filter(policy=policy_id).values_list("target_id", flat=True))
        if policy_id
        else set()
    )
    return [
        Choice(c.id, c.name, c.status, counts.get(c.id, 0), c.id in having, c.known)
        for c in choices
    ]


def reached(target_type: str, ids: Sequence[str], user: AnyUser) -> int | None:
    """How many devices a product or a whole space brings under the policy."""
    if target_type == TargetType.DEVICE or not ids:
        return None
    column = "product_id" if target_type == TargetType.PRODUCT else "app_id"
    return in_scope(
        Device.objects.filter(**{f"{column}__in": values_subquery(ids)}), user
    ).count()


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of very many targets before anything is sent."""

    total: int
    known: int
    having: int
    full: int
    duplicates: int

    @property
    def unknown(self) -> int:
        return self.total - self.known


def summary(
    target_type: str,
    ids: Sequence[str],
    policy_id: str,
    duplicates: int,
    user: AnyUser,
) -> Summary:
    known, total = in_scope(known_targets(target_type, ids), user), len(ids)
    if user_spaces(user) is not None:
        ids = list(known.values_list("pk", flat=True))
    bindings = Binding.objects.filter(
        target_type=target_type, target_id__in=values_subquery(ids)
    ).order_by()
    having = bindings.filter(policy=policy_id)
    others = bindings.exclude(target_id__in=having.values("target_id"))
    full = (
        others.values("target_id")
        .annotate(n=Count("pk"))
        .filter(n__gte=POLICIES_PER_TARGET)
    )
    return Summary(total, known.count(), having.count(), full.count(), duplicates)
