"""A real browser and server: one Chromium per test process, cleared between tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from tests.cloud import Cloud
from tests.conftest import make_user
from tests.e2e.chromium import FLAGS, find_chromium
from tests.e2e.stage import PATIENCE, Stage, Visitors, Worker, noise

OpenPage = Callable[..., Page]
# Other processes can slow a page down a lot; no test promises how long it takes.
expect.set_options(timeout=PATIENCE * 1000)


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.path.parent == Path(__file__).parent:
        item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("Chromium is not installed (on Debian: apt-get install chromium)")
    # Playwright runs an event loop in this thread; Django would refuse queries there.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def visitors(chromium: Browser, live_server: LiveServer) -> Iterator[Visitors]:
    visitors = Visitors(chromium, live_server.url)
    yield visitors
    visitors.close()


@pytest.fixture
def open_page(visitors: Visitors, live_server: LiveServer) -> Iterator[OpenPage]:
    """Return a function that opens a page in a fresh browser, signed in with a role.

    Messages on its console fail the test.
    """
    heard: list[str] = []

    def open_page(role: str = "", **options: Any) -> Page:
        context = visitors.take(**options)
        if role:
            sign_in(context, live_server.url, role)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        noise(page, heard)
        return page

    yield open_page
    visitors.leave()
    assert heard == []


def sign_in(context: BrowserContext, url: str, role: str) -> None:
    client = Client()
    client.force_login(
        User.objects.filter(username=role.replace(" ", "")).first() or make_user(role)
    )
    context.add_cookies(
        [
            {
                "name": settings.SESSION_COOKIE_NAME,
                "value": client.cookies[settings.SESSION_COOKIE_NAME].value,
                "url": url,
            }
        ]
    )


@pytest.fixture
def stage(live_server: LiveServer, inventory: Cloud, open_page: OpenPage) -> Stage:
    """Return the platform with a synced inventory, and pages to see it."""
    return Stage(inventory, open_page)


@pytest.fixture
def worker(inventory: Cloud) -> Iterator[Worker]:
    """Return a worker process for the test's database and platform, not yet started."""
    worker = Worker(inventory)
    yield worker
    worker.stop()
