"""Named moments in the work of a process, and a real SIGKILL at one of them.

The SQL statements show what a transaction does, so the product needs no hooks.
"""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from iotda_admin.iotda.base import BaseClient

# A moment is a step and a side of it.
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


class DeathPoint:
    """Kills its own process at the nth such moment."""

    def __init__(self, step: str, side: str, nth: int) -> None:
        self.step, self.side, self.left = step, side, nth
        self.lock = threading.Lock()

    def comes(self, step: str, side: str) -> None:
        if (step, side) != (self.step, self.side):
            return
        with self.lock:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)


def step_of(sql: str, rows: Sequence[Any]) -> str:
    """Which of our steps a statement belongs to, "" for none; with its rows of parameters."""
    if sql.startswith('INSERT INTO "operations_operation"'):
        return "ask"
    if sql.startswith('INSERT INTO "operations_chunk"'):
        return "split"
    if sql.startswith('UPDATE "operations_chunk"') and "sent" in set_to(sql, rows):
        return "claim"
    if sql.startswith('UPDATE "operations_target"') and SETTLED & set_to(sql, rows):
        return "record"
    return ""


def set_to(sql: str, rows: Sequence[Any]) -> set[Any]:
    """Return the values that an UPDATE sets, without those of its WHERE clause."""
    assigned = sql.partition(" WHERE ")[0].count("%s")
    return {value for params in rows for value in (params or ())[:assigned]}


class Watch:
    """Tells death of each step, just before and just after it is committed."""

    def __init__(self, death: DeathPoint) -> None:
        self.death = death
        self.open = threading.local()

    def statement(
        self,
        execute: Callable[..., Any],
        sql: str,
        params: Any,
        many: bool,
        context: Any,
    ) -> Any:
        step = step_of(sql, params if many else [params])
        if context["connection"].in_atomic_block:
            self.steps().add(step)
            return execute(sql, params, many, context)
        return self.around({step}, execute, sql, params, many, context)

    def around(self, steps: set[str], act: Callable[..., Any], *args: Any) -> Any:
        # A new operation's first chunks are no split.
        steps = steps - {"split"} if "ask" in steps else steps
        for step in steps:
            self.death.comes(step, "before")
        result = act(*args)
        for step in steps:
            self.death.comes(step, "after")
        return result

    def steps(self) -> set[str]:
        if not hasattr(self.open, "steps"):
            self.open.steps = set()
        return self.open.steps

    def commit(self, commit: Callable[..., Any], connection: Any) -> Any:
        steps, self.open.steps = self.steps(), set()
        return self.around(steps, commit, connection)


def die_at(step: str, side: str, nth: int) -> None:
    """Make this process kill itself at the nth such moment."""
    death = DeathPoint(step, side, nth)
    watch = Watch(death)

    def install(connection: Any, **_: Any) -> None:
        if watch.statement not in connection.execute_wrappers:
            connection.execute_wrappers.append(watch.statement)

    connection_created.connect(install, weak=False)
    for connection in open_connections():
        install(connection)
    commit, call = BaseDatabaseWrapper.commit, BaseClient._call

    def watched_commit(connection: Any) -> None:
        watch.commit(commit, connection)

    def watched_call(client: Any, operation: Any, *args: Any, **more: Any) -> Any:
        return around_call(death, call, client, operation, args, more)

    # On the classes: connections and clients are created in many places.
    BaseDatabaseWrapper.commit = watched_commit  # type: ignore[assignment,method-assign]
    BaseClient._call = watched_call  # type: ignore[assignment,method-assign]


def open_connections() -> list[Any]:
    from django.db import connections

    return [
        one
        for one in connections.all(initialized_only=True)
        if one.connection is not None
    ]


def around_call(
    death: DeathPoint, call: Any, client: Any, operation: Any, args: Any, more: Any
) -> Any:
    """Count the moments of write calls only."""
    if operation.write:
        death.comes("call", "before")
    try:
        return call(client, operation, *args, **more)
    finally:
        if operation.write:
            death.comes("call", "after")
