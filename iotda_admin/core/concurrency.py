"""Views of which a process of the web server serves only a few requests at once.

The threads of a process share one processor. A page that is served beside 31 others takes
32 times as long, so a burst of requests to some views slows down all others. The web
server queues the requests to a limited view, and the other threads serve the rest.
"""

import os
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from django.urls import Resolver404, resolve

# A client may name a scheme and a host before the path, and what is not for the server
# after it.
PATH = re.compile(r"(?:[a-z][a-z0-9+.-]*://[^/?#]*)?([^?#]*)", re.I)
# The share of the threads for each group of views.
SHARES = {"iotda reads": 0.5, "password checks": 0.25, "pushed statuses": 0.25}


def limit_concurrency[V: Callable[..., Any]](group: str) -> Callable[[V], V]:
    """Serve the requests to this view with the share of the threads of its group."""

    def mark(view: V) -> V:
        view.concurrency_group = group  # type: ignore[attr-defined]
        return view

    return mark


def group_of_target(target: str) -> str:
    """Return the group of the view that the target of a request leads to, or ""."""
    found = PATH.match(target)
    path = unquote(found[1]) if found else ""
    try:
        match = resolve(path.removeprefix(os.environ.get("SCRIPT_NAME", "")))
    except Resolver404:
        return ""
    return str(getattr(match.func, "concurrency_group", ""))


def requests_at_once(group: str, threads: int) -> int:
    return max(1, int(threads * SHARES[group]))
