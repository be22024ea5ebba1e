"""Answers the requests to the control port."""

from ..api.task_runs import advance_tasks
from ..app import Simulator
from ..routing import load_routes
from ..schema import SchemaError
from ..server import Request, Response
from .routers import ControlError, control, not_found

load_routes(__name__.rpartition(".")[0])


class Control:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    async def __call__(self, request: Request) -> None:
        await request.connection.write(self._respond(request).encode())

    def _respond(self, request: Request) -> Response:
        advance_tasks(self.simulator.state)
        try:
            route, request.path_params = control.find(request.method, request.raw_path)
            if route is None:
                not_found("endpoint")
            return route.handler(self.simulator, request)
        except SchemaError as exc:
            return Response(400, {"error": str(exc)})
        except ControlError as exc:
            return Response(exc.status, {"error": str(exc)})
