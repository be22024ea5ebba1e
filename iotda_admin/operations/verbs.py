"""What can be done to the platform: the shape of a verb, and the registry.

A verb knows how to say one kind of change to IoTDA and how to look whether it took effect.
It knows nothing of records, leases or retries: that is the runner's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from django.utils.functional import Promise
from django.utils.module_loading import import_string

from iotda_admin.iotda import Client, IotdaError, Rejected
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
class Verdict:
    """How one target ended, as far as the answer tells."""

    state: State
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one write request: a verdict for each target, and where to find it at the platform."""

    verdicts: Mapping[str, Verdict]
    status: int | None = None
    request_id: str = ""


class Verb:
    """One kind of change. Subclasses are registered in settings.OPERATION_VERBS."""

    name: str
    title: str | Promise  # "Freeze"
    past: str | Promise  # "frozen"
    chunk_size = 1

    def permission(self, target_type: str) -> str:
        """The permission that asking for it needs."""
        raise NotImplementedError

    def subject(self, operation: Operation, target_id: str) -> str:
        """What two operations must not change at the same time."""
        raise NotImplementedError

    def send(self, client: Client, operation: Operation, ids: Sequence[str]) -> Answer:
        """Make one write request for at most chunk_size ids.

        Reads before it may raise freely; once the write was sent, only its own error may leave.
        """
        raise NotImplementedError

    def read_back(self, client: Client, operation: Operation, ids: Sequence[str]) -> Mapping[str, bool]:
        """Ask the platform which targets now stand as the operation wanted. Writes nothing."""
        raise NotImplementedError

    def settled(self, operation: Operation, ids: Sequence[str]) -> None:
        """These targets now stand as asked: let the inventory follow (in the recording transaction)."""

    def stops(self, error: IotdaError) -> bool:
        """Whether the rest of the operation would meet the same refusal."""
        return isinstance(error, Rejected) and (error.status == 401 or error.code in STOP_CODES)


@cache
def verb_named(name: str) -> Verb:
    verb: Verb = import_string(settings.OPERATION_VERBS[name])()
    return verb
