"""The peers of the comparison; none of them records results."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import batched
from time import perf_counter, thread_time
from typing import Any
from urllib.parse import urlsplit

import requests

from iotda_admin.iotda import AkSk
from tests.cloud import Cloud
from tests.simulator.signing import temporary_home

with temporary_home():
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.exceptions.exceptions import SdkException
    from huaweicloudsdkcore.http.http_config import HttpConfig
    from huaweicloudsdkiotda import v5

CHUNK = 20

# Seconds, and the outcome of each target as the peer knows it.
Run = tuple[float, dict[str, str]]


def raw(cloud: Cloud, policy: str, ids: Sequence[str], conc: int) -> Run:
    """Send prepared requests on keep-alive sockets: the lowest possible time.

    They are signed, so that the simulator does the same work as for the others.
    """
    url = f"{cloud.api}/v5/iot/{cloud.known_ids['project_id']}/device-policies/{policy}/bind"
    ready = [(some, packed(url, some)) for some in batched(ids, CHUNK)]
    # In another thread: the browser tests leave an event loop running in the main one.
    with ThreadPoolExecutor(1) as aside:
        began = perf_counter()
        done = aside.submit(
            asyncio.run, exchange_all(urlsplit(url).netloc, ready, conc)
        ).result()
        return perf_counter() - began, dict.fromkeys(done, "ok")


def packed(url: str, ids: Iterable[str]) -> bytes:
    body = {"target_type": "device", "target_ids": list(ids)}
    request = requests.Request(
        "POST", url, json=body, auth=AkSk("DEMOAK", "DEMOSK")
    ).prepare()
    headers = {**request.headers, "Host": urlsplit(url).netloc}
    lines = [
        f"POST {request.path_url} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    assert isinstance(request.body, bytes)
    return "\r\n".join([*lines, "", ""]).encode() + request.body


async def exchange_all(
    host: str, ready: list[tuple[tuple[str, ...], bytes]], conc: int
) -> list[str]:
    name, _, port = host.partition(":")
    left, done = iter(ready), list[str]()

    async def one_after_the_other() -> None:
        reader, writer = await asyncio.open_connection(name, int(port))
        for ids, request in left:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            _, _, length = head.lower().partition(b"content-length: ")
            await reader.readexactly(int(length.partition(b"\r\n")[0]))
            if head.startswith(b"HTTP/1.1 200"):
                done.extend(ids)
        writer.close()

    await asyncio.gather(*(one_after_the_other() for _ in range(conc)))
    return done


def sdk(cloud: Cloud, connections: int) -> Any:
    credentials = BasicCredentials("DEMOAK", "DEMOSK", cloud.known_ids["project_id"])
    config = HttpConfig(timeout=(5, 30), pool_maxsize=connections)
    builder = v5.IoTDAClient.new_builder().with_http_config(config)
    return builder.with_credentials(credentials).with_endpoints([cloud.api]).build()


def sdk_bind(client: Any, policy: str, ids: Sequence[str]) -> list[str]:
    body = v5.BindDevicePolicy(target_type="device", target_ids=list(ids))
    with suppress(SdkException):
        answer = client.bind_device_policy(
            v5.BindDevicePolicyRequest(policy_id=policy, body=body)
        )
        return list(answer.success_targets or [])
    return []


def sdk_freeze(client: Any, ids: Sequence[str]) -> list[str]:
    with suppress(SdkException):
        client.freeze_device(v5.FreezeDeviceRequest(device_id=ids[0]))
        return list(ids)
    return []


def sdk_loop(cloud: Cloud, policy: str, ids: Sequence[str], conc: int) -> Run:
    """Bind one id per call, one call after the other."""
    client = sdk(cloud, 1)
    return timed(lambda: [sdk_bind(client, policy, [id]) for id in ids])


def sdk_pool(cloud: Cloud, policy: str, ids: Sequence[str], conc: int) -> Run:
    """Bind the most ids per call, with concurrent calls."""
    client = sdk(cloud, conc)
    return pooled(
        conc, lambda some: sdk_bind(client, policy, some), batched(ids, CHUNK)
    )


def sdk_freeze_pool(cloud: Cloud, ids: Sequence[str], conc: int) -> Run:
    client = sdk(cloud, conc)
    return pooled(conc, lambda some: sdk_freeze(client, some), batched(ids, 1))


def sdk_listing(cloud: Cloud, pages: int) -> tuple[float, float, int]:
    """List devices, one page after the other; keep none.

    Return the seconds of the wall and of this thread's processor, and the devices.
    """
    client, marker, found = sdk(cloud, 1), None, 0
    wall, processor = perf_counter(), thread_time()
    for _page in range(pages):
        answer = client.list_devices(v5.ListDevicesRequest(limit=50, marker=marker))
        found += len(answer.devices)
        marker = answer.page.marker
        if len(answer.devices) < 50:
            break
    return perf_counter() - wall, thread_time() - processor, found


def pooled(
    conc: int,
    send: Callable[[Sequence[str]], list[str]],
    chunks: Iterable[Sequence[str]],
) -> Run:
    with ThreadPoolExecutor(conc) as pool:
        return timed(lambda: list(pool.map(send, chunks)))


def timed(work: Callable[[], list[list[str]]]) -> Run:
    began = perf_counter()
    done = work()
    return perf_counter() - began, {id: "ok" for some in done for id in some}


BIND_PEERS = {"raw": raw, "sdk-loop": sdk_loop, "sdk-pool": sdk_pool}
