"""Verbs: what can be done to IoTDA, and the registry that everything else is drawn from.

A verb is one class in the ``verbs`` module of an app. Defining it registers it: its URLs,
buttons, dialogs, bulk actions, command and permission follow from the class. A verb knows
how to send one kind of change and how to read back whether it took effect; its
``inventory`` knows what the local mirror says about its targets. Neither knows of chunks,
leases or retries: those belong to the execution wing.
"""

from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.db.models import QuerySet
from django.utils.functional import Promise

from iotda_admin.access.roles import declare_permission
from iotda_admin.access.scope import AnyUser
from iotda_admin.core.ids import Lookup
from iotda_admin.iotda import BadResponse, Client, IotdaError, Rejected, TaskType
from iotda_admin.operations.error_codes import documented_code
from iotda_admin.operations.models import Operation, Target

if TYPE_CHECKING:
    from iotda_admin.operations.requests import OperationRequest
    from iotda_admin.operations.web.forms import TargetsForm

State = Target.State

# Every further call of the operation would meet these refusals as well, and any other
# with HTTP status 401. The status 403 alone says nothing: IoTDA uses it for most refusals.
# Source: IoTDA's table of error codes.
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

_registry: dict[str, "Verb"] = {}


def get_verb(name: str) -> "Verb":
    """Return the verb with this stored name. Raise KeyError for an unknown one."""
    return _registry[name]


def all_verbs() -> list["Verb"]:
    return list(_registry.values())


@dataclass(frozen=True, slots=True)
class VerbPermission:
    """A permission that a verb needs: its label, its name for people, and its roles.

    model  the model that Django files it under, if the label does not end with it
    """

    label: str
    name: str | Promise
    roles: Sequence[str]
    model: str = ""


@dataclass(frozen=True, slots=True)
class TargetOutcome:
    """How one target ended, as far as the answer shows."""

    state: State
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class OtherSpace:
    """Targets that are not in the resource space of a policy, which is asked before.

    number  the number of these targets
    policy  the name of the policy
    space   the name of its resource space
    """

    number: int
    policy: str
    space: str


# By target ID.
type Outcomes = Mapping[str, TargetOutcome]
# Which targets are as requested; those that nobody knows of are missing.
type Standing = Mapping[str, bool]
# Which targets already were as requested; None: unknown.
type StoodBefore = Mapping[str, bool | None]


class Seen(NamedTuple):
    """What IoTDA showed of a target.

    read_at  when it was requested
    changed  whether our change may have been made by then
    """

    item: Any
    read_at: datetime
    changed: bool


@dataclass(slots=True)
class VerbRequest:
    """The targets of one operation that IoTDA is asked to change, or asked about.

    stood_before  the targets, by ID
    seen          what IoTDA showed of the targets meanwhile; ``VerbInventory.store`` gets it
    resent        an earlier attempt may have changed them
    heartbeat     to be called during a long read: it keeps the lease alive
    task_name     the name of the batch task, if the targets go as one
    spaces        the resource spaces in which the actor may act now; None: all
    """

    operation: Operation
    stood_before: dict[str, bool | None]
    seen: list[Seen] = field(default_factory=list)
    resent: bool = False
    heartbeat: Callable[[], None] = lambda: None
    task_name: str = ""
    spaces: frozenset[str] | None = None

    def may_change_in(self, app_id: str) -> bool:
        return self.spaces is None or app_id in self.spaces

    @property
    def ids(self) -> list[str]:
        return list(self.stood_before)


@dataclass(frozen=True, slots=True)
class VerbAnswer:
    """The result of one write request: an outcome for each target, and its request ID.

    With a ``task_id`` IoTDA has only accepted a batch task, and no target has ended yet.
    """

    outcomes: Outcomes
    status: int | None = None
    request_id: str = ""
    task_id: str = ""


def task_name(operation: Operation, number: int) -> str:
    """Return the name of a chunk's batch task at IoTDA.

    It is the same on each attempt, so that the task is found after a lost answer. It holds
    the time, because another database numbers its operations from 1 as well.
    """
    created = f"{operation.created_at:%Y%m%d%H%M%S%f}"
    return f"iotda_admin_op{operation.pk}_{number}_{created}"


class VerbInventory:
    """What the local inventory knows of a verb's targets.

    ``store``, ``apply`` and ``batch_task_ended`` run in the transaction that records the
    outcomes.
    """

    def rows(self, target_type: str, ids: Sequence[str]) -> QuerySet[Any]:
        """Return the known rows of these targets, each with ``app_id``, its space."""
        raise NotImplementedError

    def lookup(self, target_type: str, user: AnyUser | None) -> Lookup | None:
        """Return what finds targets by other values than their IDs, if they have some.

        It finds those in the user's spaces; without a user, those in all spaces.
        """
        return None

    def other_spaces(self, about: "Operation | OperationRequest") -> set[str]:
        """Return the resource spaces it concerns besides those of its targets."""
        return set()

    def devices_reached(self, target_type: str, ids: Sequence[str]) -> int | None:
        """Return the number of devices of these products or spaces; None for devices."""
        return None

    def standing(
        self, ids: Sequence[str], about: Operation, before: datetime | None = None
    ) -> Standing:
        """Return which targets are already as the verb wants, by the last sync.

        With ``before``, only rows read before that moment count.
        """
        return {}

    def store(self, operation: Operation, seen: Sequence[Seen]) -> None:
        """Store what requests of an operation saw at IoTDA."""

    def apply(
        self, operation: Operation, ids: Sequence[str], already: Sequence[str]
    ) -> None:
        """Store that these targets are now as requested.

        `already` are those of them that IoTDA refused because they were so before.
        """

    def batch_task_ended(self) -> None:
        """React to the last outcome of a batch task."""


class Verb:
    """One kind of change.

    A subclass with a ``name`` is registered when it is defined.
    """

    # Stored with operations and audit events, so never changed: "device.freeze".
    name: str
    # The verb that undoes it, if there is one.
    inverse = ""
    permissions: Sequence[VerbPermission]
    target_types: Sequence[str]
    # Whether its targets still exist afterwards.
    row_stays = True

    # Words.
    title: str | Promise
    # What became of a target that is ok, for the command line: "frozen".
    past: str
    icon: str
    danger = False
    # Whether its pages and its command ask to type ``confirmation`` first.
    typed = False
    # The bulk action in the list of devices: its URL name and label.
    bulk_url = ""
    bulk_label: str | Promise = ""
    # One sentence for the help of the command and the documentation.
    summary: str
    # What the examples in that help give besides IDs, reason and ticket.
    example_options = ""

    # Limits of IoTDA: targets of one write request, and calls that a chunk usually needs.
    chunk_size = 1
    calls = 1
    # IoTDA's batch task that does the same to many targets, if it has one.
    task_type: TaskType | None = None
    # The refusal of one target that means "it already is as requested".
    already_code = ""

    inventory: VerbInventory
    # The form that requests it, if the plain one lacks fields.
    form_class: "type[TargetsForm] | None" = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls):
            _registry[cls.name] = cls()
            for each in cls.permissions:
                declare_permission(
                    each.label, each.name, *each.roles, model=each.model, limited=True
                )

    @property
    def command(self) -> str:
        """The name of its management command, and its last part in URLs: "freeze"."""
        return self.name.rpartition(".")[2]

    def goes_by_task(self, count: int) -> bool:
        """Return whether IoTDA changes this many targets as a batch task."""
        return bool(self.task_type) and count > settings.BATCH_TASK_ABOVE

    def permission_for(self, target_type: str) -> str:
        """Return the label of the permission it needs on this type of target."""
        return self.permissions[0].label

    def subject(self, about: "Operation | OperationRequest", target_id: str) -> str:
        """Return what two operations must not change at the same time."""
        raise NotImplementedError

    def confirmation(
        self, about: "Operation | OperationRequest", ids: Sequence[str]
    ) -> str:
        """Return the text to type before these targets are changed; empty for none."""
        return ""

    def in_other_space(
        self, about: "Operation | OperationRequest", ids: Sequence[str]
    ) -> Sequence[OtherSpace]:
        """Return what a user must confirm first, because IoTDA probably refuses it."""
        return ()

    def one_at_a_time(self, about: "Operation | OperationRequest") -> bool:
        """Return whether a follow-up may have only one target."""
        return False

    def request_from(self, form: "TargetsForm") -> "OperationRequest":
        """Return what a valid form requests."""
        return form.request_for(self, form.targets(), self.target_types[0])

    def resolve(
        self, client: Client, request: "OperationRequest"
    ) -> "OperationRequest":
        """Return the request with names, spaces and what already is as requested.

        It may read IoTDA. Targets that the inventory does not know stay in.
        """
        raise NotImplementedError

    def standing_now(
        self, client: Client, about: Operation, ids: Sequence[str]
    ) -> Standing:
        """Return which targets already are as requested, for a follow-up of ``about``.

        It may read IoTDA; targets it cannot tell are missing.
        """
        return {}

    def send(self, client: Client, request: VerbRequest) -> VerbAnswer:
        """Send one write request for at most ``chunk_size`` targets.

        It runs in a thread without a database. Reads before the write may raise; once the
        write is sent, only the error of the write itself may be raised.
        """
        raise NotImplementedError

    def read_back(self, client: Client, request: VerbRequest) -> Standing:
        """Read which targets now are as the operation requested. Write nothing."""
        raise NotImplementedError

    def confirm_refusal(
        self, client: Client, request: VerbRequest, error: Rejected, *, already: bool
    ) -> None:
        """Raise BadResponse if IoTDA shows the targets otherwise than a refusal says.

        A refusal names no target, so it may be about others.

        already: whether it says that they are as requested
        """
        if error.retryable or error.maybe_applied or Verb.stops(self, error):
            return
        with suppress(IotdaError):
            if self.agrees_with(client, request, error, already=already):
                return
        raise BadResponse(
            error.message,
            operation=error.operation,
            code=error.code,
            status=error.status,
            request_id=error.request_id,
            maybe_applied=True,
        ) from error

    def agrees_with(
        self, client: Client, request: VerbRequest, error: Rejected, *, already: bool
    ) -> bool:
        """Return whether IoTDA shows the targets as a refusal says; it may raise."""
        standing = self.read_back(client, replace(request, seen=[]))
        return all(standing.get(id) == already for id in request.ids)

    def stops(self, error: IotdaError) -> bool:
        """Return whether the rest of the operation would meet the same refusal."""
        return isinstance(error, Rejected) and (
            error.status == 401 or documented_code(error.code) in STOP_CODES
        )

    # The command line.

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options that only this verb's command has."""

    def form_from_options(self, options: Mapping[str, Any]) -> Mapping[str, list[str]]:
        """Return the fields of the verb's form that its own options fill."""
        return {}
