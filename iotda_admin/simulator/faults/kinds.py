"""The kinds of faults by name, and how a fault acts on a request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ..server import Connection, Request, Response
from ..state.store import State
from .schedule import Fault


class Injection:
    """One fault that acts on one request."""

    def __init__(
        self,
        fault: Fault,
        request: Request,
        state: State,
        apply: Callable[[], Response],
    ) -> None:
        self.fault, self.request, self.state, self.apply = fault, request, state, apply
        self.args: dict[str, Any] = fault.args
        # args.moment: whether the request is applied before the fault acts.
        self.after: bool = fault.args.get("moment") == "after"
        self.response = Response(200, {})

    @property
    def connection(self) -> Connection:
        return self.request.connection

    async def run(self) -> Response | None:
        """Return the response to send, or None if the fault used the connection."""
        self.request.entry.fault = self.fault.kind
        kind = FAULT_KINDS[self.fault.kind]
        if not kind.wraps_request:
            self.response = self.apply() if self.after else self._success()
        return await kind.act(self)

    def _success(self) -> Response:
        """A response that reports success of a request that was not applied."""
        entry = self.request.entry
        about = {"policy_id": entry.policy_id, "target_type": entry.target_type}
        return Response(
            200, about | {"success_targets": entry.target_ids, "failure_targets": []}
        )


type Act = Callable[[Injection], Awaitable[Response | None]]


@dataclass(frozen=True)
class FaultKind:
    act: Act
    wraps_request: bool


FAULT_KINDS: dict[str, FaultKind] = {}


def replaces_response(act: Act) -> Act:
    """Register a fault that replaces `injection.response` or breaks the connection."""
    FAULT_KINDS[act.__name__] = FaultKind(act, wraps_request=False)
    return act


def wraps_request(act: Act) -> Act:
    """Register a fault that calls `injection.apply` itself."""
    FAULT_KINDS[act.__name__] = FaultKind(act, wraps_request=True)
    return act
