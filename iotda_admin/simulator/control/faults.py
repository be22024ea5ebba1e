"""Adds, lists and removes faults."""

from ..app import Simulator
from ..faults.kinds import FAULT_KINDS
from ..faults.schedule import NewFault
from ..server import Request, Response
from .routers import ControlError, control, not_found


@control.route("POST", "/faults")
def add_fault(simulator: Simulator, request: Request) -> Response:
    new = request.read(NewFault)
    if new.fault not in FAULT_KINDS:
        raise ControlError(
            400, f"Unknown fault {new.fault!r}. Choose one of {', '.join(FAULT_KINDS)}."
        )
    return Response(200, {"id": simulator.faults.add(new).id})


@control.route("GET", "/faults")
def list_faults(simulator: Simulator, request: Request) -> Response:
    return Response(
        200, {"faults": [fault.as_dict() for fault in simulator.faults.active.values()]}
    )


@control.route("DELETE", "/faults")
def clear_faults(simulator: Simulator, request: Request) -> Response:
    simulator.faults.active.clear()
    return Response(204)


@control.route("DELETE", "/faults/{number}")
def remove_fault(simulator: Simulator, request: Request) -> Response:
    number = request.path_params["number"]
    if not number.isdecimal() or simulator.faults.active.pop(int(number), None) is None:
        not_found("fault")
    return Response(204)
