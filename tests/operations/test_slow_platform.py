"""Pages that read IoTDA leave threads to those that do not, however slowly it answers."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import requests

from tests.cloud import Cloud
from tests.operations.deployment import Browser, Deployment, until

# Far longer than the test needs: only what makes no call answers before.
LONG = "100"
BUSY = "IoTDA is busy."


def answered(pages: Sequence[Future[requests.Response]]) -> list[requests.Response]:
    return [page.result() for page in pages if page.done()]


def test_while_pages_wait_for_iotda_other_pages_are_answered(
    deployment: Deployment, cloud: Cloud
) -> None:
    deployment.env["IOTDA_DEADLINE"] = LONG
    base = deployment.start_web()  # with four threads
    browser = Browser(base, "viewer")
    cloud.fault(["ShowDevice", "ShowDevicePolicy"], "latency", seconds=float(LONG))
    paths = [f"/devices/{id}/" for id in cloud.free(6)]
    paths.append(f"/policies/{cloud.known_ids['other_policy']}/")
    cookies = browser.http.cookies.get_dict()

    def get(path: str) -> requests.Response:
        return requests.get(base + path, cookies=cookies, timeout=float(LONG))

    pool = ThreadPoolExecutor(len(paths))
    try:
        pages = [pool.submit(get, path) for path in paths]
        until(lambda: len(answered(pages)) == len(pages) - 1)
        assert get("/devices/").status_code == 200
        for page in answered(pages):
            assert page.status_code == 200
            assert BUSY in page.text
            assert "Shown as of" in page.text
        assert len(answered(pages)) == len(pages) - 1  # one still waits
    finally:
        deployment.kill()
        pool.shutdown()
