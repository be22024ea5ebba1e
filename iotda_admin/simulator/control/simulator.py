"""Health, reset, settings, the journal and the known IDs."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from ..app import Simulator
from ..schema import NoExtraKeys, between
from ..server import Request, Response
from .routers import control


@dataclass
class Reset(NoExtraKeys):
    devices: Annotated[int, between(0, 1_000_000)] | None = None
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@control.route("GET", "/health")
def health(simulator: Simulator, request: Request) -> Response:
    return Response(200, {"status": "ok", "devices": len(simulator.state.devices)})


@control.route("POST", "/reset")
def reset(simulator: Simulator, request: Request) -> Response:
    wanted = request.read(Reset) if request.body else Reset()
    simulator.reset(wanted.devices, wanted.seed, wanted.settings)
    return Response(200, {"devices": len(simulator.state.devices)})


@control.route("GET", "/settings")
def show_settings(simulator: Simulator, request: Request) -> Response:
    return Response(200, asdict(simulator.state.settings))


@control.route("PATCH", "/settings")
def change_settings(simulator: Simulator, request: Request) -> Response:
    return Response(200, asdict(simulator.change_settings(request.read(dict))))


@control.route("GET", "/journal")
def show_journal(simulator: Simulator, request: Request) -> Response:
    after, operation = (
        int(request.query.get("after", 0)),
        request.query.get("operation"),
    )
    return Response(
        200, {"entries": list(simulator.journal.since(after, operation or None))}
    )


@control.route("DELETE", "/journal")
def clear_journal(simulator: Simulator, request: Request) -> Response:
    simulator.journal.clear()
    return Response(204)


@control.route("GET", "/known-ids")
def show_known_ids(simulator: Simulator, request: Request) -> Response:
    return Response(200, simulator.known_ids)
