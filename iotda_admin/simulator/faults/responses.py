"""Faults that are valid HTTP responses, and faults that change the state first."""

import asyncio
from typing import Any

from ..server import Response
from ..state.models import NewDevice
from .kinds import Injection, replaces_response, wraps_request

MESSAGE = "Injected by the simulator."
PAGE = (
    b"<!DOCTYPE html><html><head><title>502</title></head>"
    b"<body><h1>Bad Gateway</h1></body></html>"
)


def _error(injection: Injection, code: str) -> dict[str, Any]:
    args = injection.args
    return {
        "error_code": args.get("error_code", code),
        "error_msg": args.get("error_msg", MESSAGE),
    }


@replaces_response
async def status(injection: Injection) -> Response:
    args = injection.args
    content = args.get("body", _error(injection, "IOTDA.000020"))
    headers = (
        {"Retry-After": args["retry_after"]}
        if args.get("retry_after") is not None
        else {}
    )
    headers |= args.get("headers", {})
    if isinstance(content, str):
        content = content.encode()
    return Response(int(args.get("status", 500)), content, headers)


@replaces_response
async def throttle(injection: Injection) -> Response:
    content = {
        "error_code": "APIGW.0308",
        "error_msg": "The throttling threshold has been reached.",
    }
    return Response(429, content, {"Retry-After": injection.args.get("retry_after", 1)})


@replaces_response
async def html(injection: Injection) -> Response:
    return Response(
        int(injection.args.get("status", 200)), PAGE, {"Content-Type": "text/html"}
    )


@replaces_response
async def error_200(injection: Injection) -> Response:
    return Response(200, _error(injection, "IOTDA.014111"))


@replaces_response
async def empty(injection: Injection) -> Response:
    return Response(200)


@replaces_response
async def bad_json(injection: Injection) -> Response:
    return Response(200, b'{"policy_id": "66b0c0ffee0011')


@replaces_response
async def redirect(injection: Injection) -> Response:
    location = injection.args.get("location", "http://127.0.0.2:9/elsewhere")
    return Response(
        int(injection.args.get("status", 307)), None, {"Location": location}
    )


@wraps_request
async def mix_up(injection: Injection) -> Response:
    """Answer a read about the record with another id, as a gateway mixes answers up."""
    params = injection.request.path_params
    name = next(name for name in params if name != "project_id")
    params[name] = injection.args["id"]
    return injection.apply()


@wraps_request
async def swap(injection: Injection) -> Response:
    """Exchange the answers of two requests that come at the same time.

    The first one waits `seconds` for another one.
    """
    response, fault = injection.apply(), injection.fault
    if fault.waiting:
        (first, answer), fault.waiting = fault.waiting, None
        answer.set_result(response)
        return first
    answer = asyncio.get_running_loop().create_future()
    fault.waiting = (response, answer)
    try:
        return await asyncio.wait_for(answer, float(injection.args.get("seconds", 1)))
    except TimeoutError:
        fault.waiting = None
        return response


@wraps_request
async def latency(injection: Injection) -> Response:
    seconds = float(injection.args.get("seconds", 1))
    if injection.after:
        response = injection.apply()
        await asyncio.sleep(seconds)
        return response
    await asyncio.sleep(seconds)
    return injection.apply()


@wraps_request
async def expire_tokens(injection: Injection) -> Response:
    injection.state.tokens.clear()
    return injection.apply()


@wraps_request
async def delete_policy(injection: Injection) -> Response:
    """Delete the policy of the request before the request is applied."""
    policy = injection.state.policies.get(injection.request.entry.policy_id or "")
    if policy:
        injection.state.remove_policy(policy)
    return injection.apply()


@wraps_request
async def list_mutates(injection: Injection) -> Response:
    """Delete the newest device and register another, then apply the request."""
    state = injection.state
    oldest, newest = state.device_list.items[0], state.device_list.items[-1]
    state.remove_device(newest)
    node_id = f"late-{state.record_ids.last % 2**32:x}"
    state.register_device(NewDevice(oldest.product.product_id, node_id))
    return injection.apply()
