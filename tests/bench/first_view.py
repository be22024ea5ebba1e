"""bin/bench first-view: what Chromium loads for a first page, and when it shows it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.bench.goals import Goal, Report
from tests.bench.product import Product
from tests.bench.stage import Stage
from tests.e2e.chromium import FLAGS, find_chromium
from tests.operations import deployment

REQUESTS, BYTES, SHARE_OF_ADMIN = 4, 30_000, 0.6
LIST, ADMIN = "device list", "Django's admin"
PEER = "tests.bench.page_urls"
PAGES = {
    LIST: "/devices/",
    "overview": "/",
    "sign-in": "/accounts/login/",
    ADMIN: "/peer/devices/device/",
}
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def run(stage: Stage, *, rounds: int) -> Report:
    with (
        stage.product(TEST_ROOT_URLCONF=PEER) as product,
        ThreadPoolExecutor(1) as pool,
    ):
        # Playwright needs a thread of its own: the tests have another browser open.
        views = pool.submit(open_in_turns, product, rounds).result()
    facts = {"database": stage.kind, "devices": stage.devices, "rounds": rounds}
    report = Report("first-view", facts)
    report.figures = {"views": views}
    report.table = [["page", "requests", "bytes sent", "first paint"]]
    report.table += [
        [
            name,
            str(view["requests"]),
            f"{view['bytes']:,}",
            f"{view['paint']:.0f} ms",
        ]
        for name, view in views.items()
    ]
    share = views[LIST]["paint"] / views[ADMIN]["paint"]
    report.goals = [
        *size_goals(views[LIST]),
        Goal("first paint, share of Django's admin", share, "<=", SHARE_OF_ADMIN),
    ]
    report.control = ADMIN
    report.controls = size_goals(views[ADMIN])
    return report


def size_goals(view: Mapping[str, float]) -> list[Goal]:
    return [
        Goal("requests", view["requests"], "<=", REQUESTS),
        Goal("bytes", view["bytes"], "<=", BYTES),
    ]


def open_in_turns(product: Product, rounds: int) -> dict[str, dict[str, float]]:
    user = deployment.Browser(product.base, "admin")
    cookies: list[Any] = [
        {"name": cookie.name, "value": cookie.value, "url": product.base}
        for cookie in user.http.cookies
    ]
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in PAGES}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=FLAGS
        )
        for _round in range(rounds):
            for name, path in PAGES.items():
                known = [] if name == "sign-in" else cookies
                samples[name].append(open_page(browser, known, product.base + path))
        browser.close()
    return {name: middle(some) for name, some in samples.items()}


def open_page(browser: Browser, cookies: list[Any], url: str) -> dict[str, float]:
    """Open a page with an empty cache."""
    context = browser.new_context()
    context.add_cookies(cookies)
    try:
        return measured(context, url)
    finally:
        context.close()


def measured(context: BrowserContext, url: str) -> dict[str, float]:
    page, sizes = context.new_page(), dict[str, float]()
    icon = ""

    def begun(event: dict[str, Any]) -> None:
        nonlocal icon
        if event["request"]["url"].endswith(".svg"):
            icon = event["requestId"]

    def ended(event: dict[str, Any]) -> None:
        sizes[event["requestId"]] = event["encodedDataLength"]

    wire = context.new_cdp_session(page)
    wire.on("Network.requestWillBeSent", begun)
    wire.on("Network.loadingFinished", ended)
    wire.send("Network.enable")
    answer = page.goto(url, wait_until="networkidle")
    assert answer
    assert answer.status == 200, url
    paint = float(page.wait_for_function(PAINT).json_value())
    # The icon of the tab comes after the page is shown.
    sizes.pop(icon, None)
    return {"requests": len(sizes), "bytes": sum(sizes.values()), "paint": paint}


def middle(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: median(one[name] for one in samples) for name in samples[0]}
