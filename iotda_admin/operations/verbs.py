"""What can be done to the platform: the shape of a verb, and the registry.

A verb knows how to say one kind of change to IoTDA and how to look whether it took effect.
It knows nothing of records, leases or retries: that is the runner's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.module_loading import import_string

from iotda_admin.iotda import Client, IotdaError, Rejected, TaskType
from iotda_admin.operations.models import Operation, Target

State = Target.State

# Refusals that every further call of the operation would meet as well (source: the platform's code table).
STOP_CODES = frozenset(
    {
        "IOTDA.000002",
        "IOTDA.000004",
        "IOTDA.000021",
        "IOTDA.000022",
        "APIGW.0302",
        "APIGW.0101",
    }
)


@dataclass(frozen=True, slots=True)
class TargetOutcome:
    """How one target ended, as far as the answer tells."""

    state: State
    code: str = ""
    message: str = ""


@dataclass(slots=True)
class VerbRequest:
    """Targets of one operation for which the platform is asked something.

    stood_before  for each target's id, whether it stood as asked before we sent anything; None: nobody knew
    seen          what the platform showed of them on the way; `Verb.remember` gets it
    beat          to be called now and then while a long reading goes on: it tells that somebody is at it
    task_name     where it is to be one of the platform's batch tasks: how that is called
    spaces        the resource spaces in which the actor may change something at this moment; None: in all
    """

    operation: Operation
    stood_before: Mapping[str, bool | None]
    seen: list[Any] = field(default_factory=list)
    beat: Callable[[], None] = lambda: None
    task_name: str = ""
    spaces: frozenset[str] | None = None

    def may_change_in(self, app_id: str) -> bool:
        return self.spaces is None or app_id in self.spaces

    @property
    def ids(self) -> list[str]:
        return list(self.stood_before)


@dataclass(frozen=True, slots=True)
class VerbAnswer:
    """What came of one write request: a verdict for each target, and where to find it at the platform.

    With a task_id the platform has only taken the work on, and no target has ended yet.
    """

    verdicts: Mapping[str, TargetOutcome]
    status: int | None = None
    request_id: str = ""
    task_id: str = ""


def task_name(operation: Operation, number: int) -> str:
    """Of a chunk at the platform. The same at each try, so that it is found again after a lost answer; with
    the time, so that another database, which counts from 1 as well, never takes it for its own.
    """
    return (
        f"iotda_admin_op{operation.pk}_{number}_{operation.created_at:%Y%m%d%H%M%S%f}"
    )


class Verb:
    """One kind of change. Subclasses are registered in settings.OPERATION_VERBS."""

    name: str
    title: str | Promise  # "Freeze"
    past: str | Promise  # "frozen"
    inverse: str  # the verb that undoes it
    chunk_size = 1
    # Calls that a chunk needs as a rule, its reading included.
    calls = 1
    # The platform's batch task that does the same to very many targets, if it has one.
    task_type: TaskType | None = None
    # The refusal of one target that means "it already is as you want it".
    already_code = ""

    def permission(self, target_type: str) -> str:
        """The permission that asking for it needs."""
        raise NotImplementedError

    def subject(self, operation: Operation, target_id: str) -> str:
        """What two operations must not change at the same time."""
        raise NotImplementedError

    def in_inventory(self, target_type: str, ids: Sequence[str]) -> QuerySet[Any]:
        """These targets, as far as the inventory knows them, each with the `app_id` of its resource space."""
        raise NotImplementedError

    def other_spaces(self, operation: Operation) -> set[str]:
        """The resource spaces that it has to do with besides those of its targets."""
        return set()

    def stood_before(
        self, client: Client, about: Operation, ids: Sequence[str]
    ) -> Mapping[str, bool]:
        """Which of these targets already stand as this verb wants, for asking again what another operation
        was about. Read from the platform again as the first asking did; what nobody knows is left out."""
        return {}

    def inventory_says(
        self, ids: Sequence[str], about: Operation | None = None
    ) -> Mapping[str, bool]:
        """Which of these targets stood as this verb wants when the inventory was read: all that is known
        beforehand of what goes by a batch task, and afterwards of what failed."""
        return {}

    def inventory_said(
        self, ids: Sequence[str], before: datetime
    ) -> Mapping[str, bool]:
        """The same of those that were not read again since, where targets are asked for without it."""
        return {}

    def to_type(self, about: Operation, target_id: str) -> str:
        """What has to be typed before so much is changed; empty for what a button alone may change."""
        return ""

    def send(self, client: Client, request: VerbRequest) -> VerbAnswer:
        """Make one write request for at most chunk_size targets. Runs in a thread without a database.

        Reads before it may raise freely; once the write was sent, only its own error may leave.
        """
        raise NotImplementedError

    def read_back(self, client: Client, request: VerbRequest) -> Mapping[str, bool]:
        """Ask the platform which targets now stand as the operation wanted. Writes nothing."""
        raise NotImplementedError

    def remember(self, seen: Sequence[Any]) -> None:
        """What a request has seen of the platform goes into the inventory (in the recording transaction)."""

    def settled(self, operation: Operation, ids: Sequence[str]) -> None:
        """These targets now stand as asked: let the inventory follow (in the recording transaction)."""

    def task_ended(self) -> None:
        """The last target of a batch task was settled (in the recording transaction)."""

    def stops(self, error: IotdaError) -> bool:
        """Whether the rest of the operation would meet the same refusal."""
        return isinstance(error, Rejected) and (
            error.status == 401 or error.code in STOP_CODES
        )


@cache
def get_verb(name: str) -> Verb:
    verb: Verb = import_string(settings.OPERATION_VERBS[name])()
    return verb
