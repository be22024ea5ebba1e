"""Which views are limited, and how the web server finds the view of a request."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver
from hypothesis import given
from hypothesis import strategies as st

from iotda_admin.core.concurrency import SHARES, group_of_target, requests_at_once


def views(patterns: list[Any]) -> Iterator[Callable[..., Any]]:
    for entry in patterns:
        if isinstance(entry, URLPattern):
            yield entry.callback
        else:
            yield from views(entry.url_patterns)


def test_each_page_that_shows_an_object_of_iotda_is_limited() -> None:
    """Those that fall back on the inventory if no place for a read is free."""
    source_of = inspect.getsource
    reading = {
        view
        for view in views(get_resolver().url_patterns)
        if "with page_client() as" in source_of(inspect.unwrap(view))
    }
    assert {view.__name__ for view in reading} == {"device", "policy"}
    for view in reading:
        assert getattr(view, "concurrency_group", "") == "iotda reads", view.__name__


@pytest.mark.parametrize(
    ("target", "group"),
    [
        ("/devices/a/", "iotda reads"),
        ("/policies/a/?page=2", "iotda reads"),
        ("https://desk.example.com/devices/a/", "iotda reads"),
        ("/accounts/login/?next=/devices/a/", "password checks"),
        ("/accounts/%6Cogin/", "password checks"),
        ("/accounts/login/#x", "password checks"),
        ("ftp://host/accounts/login/", "password checks"),
        ("/accounts/password/", "password checks"),
        ("/devices/status.push/?secret=x", "pushed statuses"),
        ("/devices/", ""),
        ("/nothing/", ""),
        ("*", ""),
    ],
)
def test_the_group_of_a_request(target: str, group: str) -> None:
    assert group_of_target(target) == group


def test_the_site_may_be_below_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_NAME", "/iotda")
    assert group_of_target("/iotda/devices/a/") == "iotda reads"


@given(st.text(max_size=100))
def test_no_target_stops_the_web_server(text: str) -> None:
    for prefix in ("", "/devices/", "/operations/", "//[", "https://["):
        assert group_of_target(prefix + text) in {"", *SHARES}


def test_a_group_has_a_thread_and_leaves_others() -> None:
    for group in SHARES:
        assert requests_at_once(group, 1) == 1
        assert requests_at_once(group, 32) <= 16
