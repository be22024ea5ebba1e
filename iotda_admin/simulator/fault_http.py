"""Faults that are an honest HTTP answer, only not the one hoped for."""

import asyncio
from typing import Any

from .calls import Answer
from .faults import Kind, Shot
from .registration import register
from .things import Policy

PAGE = b"<!DOCTYPE html><html><head><title>502</title></head><body><h1>Bad Gateway</h1></body></html>"


async def status(shot: Shot) -> Answer:
    args = shot.args
    refusal = {
        "error_code": args.get("error_code", "IOTDA.000020"),
        "error_msg": args.get("error_msg", "Injected by the simulator."),
    }
    content: Any = args.get("body", refusal)
    retry_after = args.get("retry_after")
    headers = [] if retry_after is None else [("Retry-After", str(retry_after))]
    headers += [
        (str(name), str(value)) for name, value in args.get("headers", {}).items()
    ]
    return Answer(
        int(args.get("status", 500)),
        content.encode() if isinstance(content, str) else content,
        headers,
    )


async def throttle(shot: Shot) -> Answer:
    content = {
        "error_code": "APIGW.0308",
        "error_msg": "The throttling threshold has been reached.",
    }
    return Answer(429, content, [("Retry-After", str(shot.args.get("retry_after", 1)))])


async def html(shot: Shot) -> Answer:
    return Answer(
        int(shot.args.get("status", 200)), PAGE, [("Content-Type", "text/html")]
    )


async def error_200(shot: Shot) -> Answer:
    code = shot.args.get("error_code", "IOTDA.014111")
    return Answer(
        200,
        {
            "error_code": code,
            "error_msg": shot.args.get("error_msg", "Injected by the simulator."),
        },
    )


async def empty(shot: Shot) -> Answer:
    return Answer(200)


async def bad_json(shot: Shot) -> Answer:
    return Answer(200, b'{"policy_id": "66b0c0ffee0011', [])


async def redirect(shot: Shot) -> Answer:
    place = str(shot.args.get("location", "http://127.0.0.2:9/elsewhere"))
    return Answer(int(shot.args.get("status", 307)), None, [("Location", place)])


async def unchanged(shot: Shot) -> Answer:
    return shot.answer


async def wait(shot: Shot) -> None:
    if shot.moment == "before":
        await asyncio.sleep(float(shot.args.get("seconds", 1)))


async def wait_after(shot: Shot) -> Answer:
    if shot.moment == "after":
        await asyncio.sleep(float(shot.args.get("seconds", 1)))
    return shot.answer


async def expire_tokens(shot: Shot) -> None:
    shot.world.tokens.clear()


async def delete_policy(shot: Shot) -> None:
    """Someone else deletes the policy that this call is about."""
    policy: Policy | None = shot.world.policies.get(shot.call.entry.policy_id or "")
    if policy:
        shot.world.remove_policy(policy)


async def list_mutates(shot: Shot) -> None:
    """Before each page one device is registered, and the newest of those there were is gone."""
    world = shot.world
    oldest, newest = world.device_records.items[0], world.device_records.items[-1]
    world.remove_device(newest)
    register(world, oldest.product, f"late-{world.record_ids.last % 2**32:x}")


HTTP: dict[str, Kind] = {
    "status": Kind(status),
    "throttle": Kind(throttle),
    "html": Kind(html),
    "error_200": Kind(error_200),
    "empty": Kind(empty),
    "bad_json": Kind(bad_json),
    "redirect": Kind(redirect),
    "latency": Kind(wait_after, applies=True, early=wait),
    "expire_tokens": Kind(unchanged, applies=True, early=expire_tokens),
    "list_mutates": Kind(unchanged, applies=True, early=list_mutates),
    "delete_policy": Kind(unchanged, applies=True, early=delete_policy),
}
