"""Odd values in answers that are right otherwise."""

import json
import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

from ..server import Response
from .kinds import Injection, wraps_request

type Path = tuple[int | str, ...]

ODD_TEXTS = [
    "", " ", ".", "..", "a b", "a.b", "a/b", "../x", "x\n", "\t", "\0", "a\0b", "\x1b[31m",
    "\x7f", "\u200b", "\u202e", "\ud83d", "\U0001f600", "\U0010ffff", "Zürich", "%00", "x;y",
    "?a=1&b=2#c", "<b>", "'\"", "{{ x }}", "=1+1", "*", "null", "FROZEN ", "frozen", "7",
    "x" * 129, "x" * 5000, "ß " * 300,
    "0001-01-01T00:00:00Z", "00010101T000000Z", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59Z", "99991231T235959Z", "9999-12-31T23:59:59-14:00",
    "2026-01-01T00:00:00", "20260101T000000", "2026-02-30T00:00:00Z", "20260230T000000Z",
    "2026-01-01T00:00:00+05:45:30", "2026-01-01T24:00:00Z", "2026-01-01",
]  # fmt: skip
ODD_VALUES: list[Any] = [
    *ODD_TEXTS,
    *(None, True, False, 0, -1, 7, 1.5, -0.0, 1e308, 2**31, 2**63, 10**400),
    *([], {}, [[]], ["a"], [None], [7, {"a": "b"}], {"a": 1}, {"": [None, {"b": []}]}),
]


@wraps_request
async def odd(injection: Injection) -> Response:
    """Replace values of the answer by odd ones.

    With `path` and `value`, that one. Otherwise each row of the answer's lists, and the
    rest of the answer unless `rest` is false, gets one with the probability `share`:
    the same row always the same one, whatever page it is on. `seed` tells which.
    """
    response, args = injection.apply(), injection.args
    if isinstance(response.content, dict) and response.status < 300:
        content = deepcopy(response.content)
        if "path" in args:
            put(content, args["path"], args["value"])
        else:
            disturb(content, args)
        # In ASCII: half a character cannot be written otherwise.
        response.content = json.dumps(content).encode()
    return response


def disturb(document: dict[str, Any], args: dict[str, Any]) -> None:
    seed, share = args.get("seed", 1), args.get("share", 0.1)
    lists = [value for value in document.values() if isinstance(value, list)]
    rows = [row for each in lists for row in each if isinstance(row, dict)]
    if args.get("rest", True):
        # Before the rows: the whole list may be replaced.
        within = {id(row) for row in rows}
        replace_one(document, seed, share, within)
    for row in rows:
        replace_one(row, seed, share, set())


def replace_one(
    record: dict[str, Any], seed: int, share: float, without: set[int]
) -> None:
    # Its other values may change meanwhile.
    ids = {key: value for key, value in record.items() if key.endswith("id")}
    text = json.dumps(ids or record, sort_keys=True)
    drawn = random.Random(f"{seed} {text}")  # noqa: S311
    found = list(paths(record, without))
    if found and drawn.random() < share:
        put(record, drawn.choice(found), drawn.choice(ODD_VALUES))


def paths(value: Any, without: set[int]) -> Iterator[Path]:
    """Yield the way to each value, except to what is inside of the objects `without`."""
    items: Iterator[tuple[int | str, Any]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    for key, inner in items:
        if id(inner) not in without:
            yield (key,)
            yield from ((key, *path) for path in paths(inner, without))


def put(document: Any, path: Sequence[Any], value: Any) -> None:
    """Replace the value at a path, if the way there exists."""
    *way, last = path
    for key in way:
        if isinstance(document, list):
            document = document[key] if key in range(len(document)) else None
        elif isinstance(document, dict):
            document = document.get(key)
    if isinstance(document, dict) or (
        isinstance(document, list) and last in range(len(document))
    ):
        document[last] = value
