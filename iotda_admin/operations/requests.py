"""What an actor requests, before it is recorded as an operation."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple, Self

from django.db.models import QuerySet

from iotda_admin.core.bulk_sql import values_of_rows
from iotda_admin.operations.models import Operation


class TargetSpec(NamedTuple):
    """One target as the actor saw it.

    stood_before  whether it already was as requested; None: unknown
    space         its resource space, empty if nobody knows it; None: not resolved
    """

    id: str
    name: str = ""
    stood_before: bool | None = None
    space: str | None = None


def target_specs(rows: QuerySet[Any], ids: Sequence[str]) -> list[TargetSpec]:
    """Return each target with the name and space of its row; an unknown one without."""
    known = {
        id: TargetSpec(id, name, None, space)
        for id, name, space in values_of_rows(rows.order_by(), ["pk", "name", "app_id"])
    }
    return [known.get(id) or TargetSpec(id, space="") for id in ids]


@dataclass(frozen=True)
class OperationRequest:
    """A change of targets. The same key and input are the same operation.

    policy_space  the resource space of the policy, empty for one of the whole instance;
                  None: not resolved
    """

    verb: str
    targets: Sequence[TargetSpec]
    reason: str
    key: str
    ticket: str = ""
    target_type: str = "device"
    policy_id: str = ""
    policy_name: str = ""
    policy_space: str | None = None
    retry_of: Operation | None = None
    undo_of: Operation | None = None
    after: Operation | None = None

    def __post_init__(self) -> None:
        # Each target once, in the order of the IDs: the indexes then grow at one end, which
        # halves the time it takes to record 100,000 of them.
        once = {target.id: target for target in self.targets}
        object.__setattr__(self, "targets", sorted(once.values(), key=itemgetter(0)))

    @classmethod
    def preview(cls, verb: str, ids: Sequence[str], **about: Any) -> Self:
        """Return a request to be decided on before its form is complete."""
        targets = [TargetSpec(id) for id in ids]
        return cls(verb, targets, reason="", key="", **about)

    @cached_property
    def ids(self) -> list[str]:
        return [target.id for target in self.targets]

    @cached_property
    def digest(self) -> str:
        """Tell this input from another one that was sent with the same key."""
        followed = (self.retry_of, self.undo_of)
        follows = " ".join(str(each.pk if each else None) for each in followed)
        parts = [
            self.verb,
            self.target_type,
            self.policy_id,
            self.reason,
            self.ticket,
            f"follows {follows}",
            self.ids,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
