"""Named moments of a worker's life, and dying at one of them: a real SIGKILL by the process itself.

What a transaction does is read off its statements, so no moment needs a hook in the product.
"""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from iotda_admin.iotda.base import BaseClient

# A moment is a deed and a side of it.
MOMENTS = [
    ("claim", "before"),
    ("claim", "after"),
    ("call", "before"),
    ("call", "after"),
    ("record", "before"),
    ("record", "after"),
]
SPLITS = [("split", "before"), ("split", "after")]
STARTS = [
    ("ask", "before"),
    ("ask", "after"),
    ("claim", "before"),
    ("claim", "after"),
    ("record", "before"),
]
SETTLED = {"ok", "already", "failed", "unknown"}


class Fate:
    """Dies at the nth such moment."""

    def __init__(self, deed: str, side: str, nth: int) -> None:
        self.deed, self.side, self.left = deed, side, nth
        self.lock = threading.Lock()

    def comes(self, deed: str, side: str) -> None:
        if (deed, side) != (self.deed, self.side):
            return
        with self.lock:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)


def deed_of(sql: str, params: Any) -> str:
    """Which of our deeds a statement belongs to, "" for none."""
    if sql.startswith('INSERT INTO "operations_operation"'):
        return "ask"
    if sql.startswith('INSERT INTO "operations_chunk"'):
        return "split"
    if sql.startswith('UPDATE "operations_chunk"') and "sent" in set_to(sql, params):
        return "claim"
    if sql.startswith('UPDATE "operations_target"') and SETTLED & set_to(sql, params):
        return "record"
    return ""


def set_to(sql: str, params: Any) -> set[Any]:
    """The values that an UPDATE sets, without those it asks for."""
    assigned = sql.partition(" WHERE ")[0]
    return set((params or ())[: assigned.count("%s")])


class Watch:
    """Tells fate of each deed, just before and just after it is committed."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.open = threading.local()

    def statement(
        self,
        execute: Callable[..., Any],
        sql: str,
        params: Any,
        many: bool,
        context: Any,
    ) -> Any:
        deed = deed_of(sql, params)
        if context["connection"].in_atomic_block:
            self.deeds().add(deed)
            return execute(sql, params, many, context)
        return self.around({deed}, execute, sql, params, many, context)

    def around(self, deeds: set[str], act: Callable[..., Any], *args: Any) -> Any:
        # A new operation's first chunks are no split.
        deeds = deeds - {"split"} if "ask" in deeds else deeds
        for deed in deeds:
            self.fate.comes(deed, "before")
        result = act(*args)
        for deed in deeds:
            self.fate.comes(deed, "after")
        return result

    def deeds(self) -> set[str]:
        if not hasattr(self.open, "deeds"):
            self.open.deeds = set()
        return self.open.deeds

    def commit(self, commit: Callable[..., Any], connection: Any) -> Any:
        deeds, self.open.deeds = self.deeds(), set()
        return self.around(deeds, commit, connection)


def die_at(deed: str, side: str, nth: int) -> None:
    """From here on this process runs towards its end."""
    fate = Fate(deed, side, nth)
    watch = Watch(fate)

    def install(connection: Any, **_: Any) -> None:
        if watch.statement not in connection.execute_wrappers:
            connection.execute_wrappers.append(watch.statement)

    connection_created.connect(install, weak=False)
    for connection in open_connections():
        install(connection)
    commit, call = BaseDatabaseWrapper.commit, BaseClient._call
    BaseDatabaseWrapper.commit = lambda connection: watch.commit(commit, connection)
    BaseClient._call = lambda client, operation, *args, **more: around_call(
        fate, call, client, operation, args, more
    )


def open_connections() -> list[Any]:
    from django.db import connections

    return [
        one
        for one in connections.all(initialized_only=True)
        if one.connection is not None
    ]


def around_call(
    fate: Fate, call: Any, client: Any, operation: Any, args: Any, more: Any
) -> Any:
    """Only writes count."""
    if operation.write:
        fate.comes("call", "before")
    try:
        return call(client, operation, *args, **more)
    finally:
        if operation.write:
            fate.comes("call", "after")
