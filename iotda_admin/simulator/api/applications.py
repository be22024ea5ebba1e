"""The endpoints of resource spaces, which IoTDA calls applications."""

from typing import Any

from ..server import Request, Response
from ..state.clock import format_basic
from ..state.models import ResourceSpace
from ..state.store import State
from .errors import ApiError
from .filters import read_choice, read_text
from .routers import iotda


def find_space(state: State, app_id: str) -> ResourceSpace:
    try:
        return state.spaces[app_id]
    except KeyError:
        # Terraform's provider relies on 403, not 404.
        raise ApiError(
            403, "IOTDA.001000", "The resource space does not exist."
        ) from None


def read_app_id(state: State, request: Request) -> str | None:
    """Read the filter by resource space, which must exist."""
    app_id = read_text(request.query, "app_id", 36)
    return find_space(state, app_id).app_id if app_id else None


def space_row(space: ResourceSpace) -> dict[str, Any]:
    return {
        "app_id": space.app_id,
        "app_name": space.app_name,
        "create_time": format_basic(space.created),
        "default_app": space.default_app,
    }


@iotda.route("GET", "/apps")
def show_applications(state: State, request: Request) -> Response:
    default = read_choice(request.query, "default_app", ("true", "false"))
    spaces = [
        one
        for one in state.spaces.values()
        if default in (None, str(one.default_app).lower())
    ]
    return Response(200, {"applications": [space_row(space) for space in spaces]})


@iotda.route("GET", "/apps/{app_id}")
def show_application(state: State, request: Request) -> Response:
    return Response(200, space_row(find_space(state, request.path_params["app_id"])))
