"""The multi-select of the bind form: find targets, select them, show conflicts."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict

from devices.models import Device
from devices.search import devices_matching, read_unknown_device
from iotda_admin.access.scope import AnyUser, in_scope, user_spaces
from iotda_admin.core.id_import import list_as_text
from iotda_admin.core.search_text import rows_with_words, visible_text
from iotda_admin.iotda import IotdaError
from iotda_admin.operations.web.forms import valid_ids
from policies.models import POLICIES_PER_TARGET, Policy, TargetType
from policies.selection import policy_counts
from policies.targets import (
    MODELS,
    devices_of,
    known_targets,
    targets_in_other_spaces,
)

FOUND_SHOWN = CHOSEN_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Choice:
    """A target as the picker shows it."""

    id: str
    name: str
    status: str
    has_policy: bool
    # It has other policies, as many as IoTDA allows.
    full: bool
    known: bool
    # It is not in the policy's resource space.
    elsewhere: bool


@dataclass(frozen=True)
class Picker:
    """The selected targets of a policy change, and the search for more."""

    target_type: str
    query: str
    ids: Sequence[str]
    policy_id: str
    user: AnyUser

    @property
    def many(self) -> bool:
        """Return whether they are more than a page shows; the form sends one text then."""
        return len(self.ids) > CHOSEN_SHOWN

    @property
    def text(self) -> str:
        return list_as_text(self.ids)

    @cached_property
    def matches(self) -> list[Any]:
        """At most one more than is shown, to know whether there are more."""
        found = list(self.matching()[: FOUND_SHOWN + 1])
        if found or self.target_type != TargetType.DEVICE:
            return found
        # Without an answer of IoTDA, the inventory's is shown: nothing.
        with suppress(IotdaError):
            if read_unknown_device(self.query, self.user):
                return list(self.matching()[: FOUND_SHOWN + 1])
        return found

    def matching(self) -> QuerySet[Any]:
        model = MODELS[TargetType(self.target_type)]
        rows: QuerySet[Any] = in_scope(model._default_manager.all(), self.user)
        if model is not Device:
            return rows_with_words(rows, self.query)
        return devices_matching(rows, self.query) if self.query else rows.none()

    @property
    def more(self) -> bool:
        return len(self.matches) > FOUND_SHOWN

    @cached_property
    def found(self) -> list[Choice]:
        rows = {row.pk: row for row in self.matches[:FOUND_SHOWN]}
        return self.describe(list(rows), rows)

    @cached_property
    def chosen(self) -> list[Choice]:
        """The first of the selected targets; IoTDA may know more than the inventory."""
        ids = self.ids[:CHOSEN_SHOWN]
        known = in_scope(known_targets(self.target_type, ids), self.user)
        return self.describe(ids, known.in_bulk())

    def describe(self, ids: Sequence[str], rows: Mapping[str, Any]) -> list[Choice]:
        # Do not reveal the number of policies of targets outside the user's spaces.
        counted = ids if user_spaces(self.user) is None else list(rows)
        bound = {
            id: (own > 0, own == 0 and policies >= POLICIES_PER_TARGET)
            for id, policies, own in policy_counts(
                self.target_type, self.policy_id, counted
            )
        }
        policy = Policy.objects.filter(pk=self.policy_id).first()
        elsewhere: set[str] = set()
        if policy:
            others = targets_in_other_spaces(policy, self.target_type, list(rows))
            elsewhere = set(others.values_list("pk", flat=True))
        return [
            Choice(
                id,
                str(rows.get(id, id)),
                getattr(rows.get(id), "status", ""),
                *bound.get(id, (False, False)),
                known=id in rows,
                elsewhere=id in elsewhere,
            )
            for id in ids
        ]

    @cached_property
    def devices_reached(self) -> int | None:
        """How many devices a product or a whole space brings under the policy."""
        reached = devices_of(self.target_type, self.ids)
        return None if reached is None else in_scope(reached, self.user).count()


def read(
    data: QueryDict, policy_id: str, user: AnyUser, more: Iterable[str] = ()
) -> Picker:
    """Return the selection and search of the form after the pressed buttons.

    more: IDs that the form has read besides.
    """
    pressed, _colon, value = data.get("act", "").partition(":")
    target_type = target_type_of(data)
    chosen = [*data.getlist("target"), *more]
    if pressed == "add":
        chosen = [value] if target_type == TargetType.SPACE else [*chosen, value]
    query = visible_text(data.get("q", "").replace("\0", "")[:128])
    return Picker(target_type, query, valid_ids(chosen), policy_id, user)


def target_type_of(data: QueryDict) -> str:
    target_type = data.get("target_type", "")
    return target_type if target_type in TargetType.values else TargetType.DEVICE


def pressed_kind(data: QueryDict) -> str:
    """Return the target type whose button was pressed, or an empty string."""
    pressed, _colon, value = data.get("act", "").partition(":")
    return value if pressed == "kind" and value in TargetType.values else ""


def kept_names(target_type: str) -> tuple[str, str]:
    """Return the fields that keep the targets and the text of a type not chosen now."""
    return f"chosen_{target_type}", f"pasted_{target_type}"


def change_kind(data: QueryDict, target_type: str, text: str) -> QueryDict:
    """Return the form with its targets put aside and those of another type back in.

    text: the pasted or uploaded IDs of the type until now.
    """
    fields = data.copy()
    chosen, pasted = kept_names(target_type_of(data))
    fields[chosen] = "\n".join(valid_ids(data.getlist("target")))
    fields[pasted] = text
    chosen, pasted = kept_names(target_type)
    fields.setlist("target", valid_ids(fields.get(chosen, "").split()))
    fields["pasted"] = fields.get(pasted, "")
    fields["target_type"] = target_type
    for name in (chosen, pasted, "q", "column", "heading"):
        fields.pop(name, None)
    return fields


def kept_targets(data: QueryDict) -> list[tuple[str, str]]:
    """Return the fields with targets of the types that are not chosen now."""
    others = set(TargetType.values) - {target_type_of(data)}
    names = (name for each in sorted(others) for name in kept_names(each))
    return [(name, str(data[name])) for name in names if data.get(name)]
