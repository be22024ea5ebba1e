"""The simulator that checks itself and our client: python -m tests.contract.simulator

Each difference from the vendor's description is a line on its standard error, which
the fixtures of the tests read (process.py).
"""

import re
import sys
from typing import Any

from iotda_admin.simulator.__main__ import main
from iotda_admin.simulator.api.dispatch import Api
from iotda_admin.simulator.api.routers import iam
from iotda_admin.simulator.routing import Route
from iotda_admin.simulator.server import Request, Response
from iotda_admin.simulator.state.store import State

from .openapi import Difference, Operation, operation, schemas_of

OUR_CLIENT = "iotda-admin"  # the User-Agent
# The gateway and the checks before each call refuse what the calls do not describe.
OF_ANY_CALL = re.compile(r"APIGW\.\d{4}|IOTDA\.00[01]\d{3}")
# Undescribed: 0142xx on a page of error codes is a 400 of the calls of upgrade tasks.
UNDESCRIBED_STATUS = {("RetryBatchTask", 400), ("StopBatchTask", 400)}

_errors = schemas_of("iotda").compile(
    {
        "type": "object",
        "properties": {
            # Settings of the simulator choose codes that are not documented, or none.
            "error_code": {"type": "string", "pattern": r"^((IOTDA|APIGW)\.\d+)?$"},
            "error_msg": {"type": "string", "minLength": 1},
            "request_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        },
        "required": ["error_code", "error_msg"],
        "additionalProperties": False,
    }
)


class CheckedApi(Api):
    def respond(
        self, state: State, route: Route[State] | None, request: Request
    ) -> Response:
        response = super().respond(state, route, request)
        try:
            check(route, request, response)
        except Difference as exc:
            line = f"{request.method} {request.raw_path}: {response.status}: {exc}"
            print(line.replace("\n", " "), file=sys.stderr, flush=True)
        return response


def check(route: Route[State] | None, request: Request, response: Response) -> None:
    """Check an answer, and the request if our client sent it. Raises Difference."""
    described = described_operation(route, request.raw_path)
    ours = request.headers.get("user-agent") == OUR_CLIENT
    if ours and described:
        described.check_request(request.path_params | request.query, request.document)
    if response.status < 400:
        if described is None:
            raise Difference("the call is not described")
        described.check_answer(response.status, response.content)
    elif not request.raw_path.startswith(f"{iam.prefix}/"):
        check_error(described, response)


def described_operation(route: Route[State] | None, raw_path: str) -> Operation | None:
    if route is None:
        return None
    service = "iam" if raw_path.startswith(f"{iam.prefix}/") else "iotda"
    return operation(service, route.operation)


def check_error(described: Operation | None, response: Response) -> None:
    content: Any = response.content
    try:
        _errors(content)
    except Exception as exc:
        raise Difference(f"{exc}, not {content!r:.200}") from None
    status, code = response.status, content["error_code"]
    if described is None or OF_ANY_CALL.fullmatch(code):
        return
    if (
        status not in described.statuses
        and (described.name, status) not in UNDESCRIBED_STATUS
    ):
        raise Difference(f"the status {status} is not described for {code}")


if __name__ == "__main__":
    sys.exit(main(CheckedApi))
