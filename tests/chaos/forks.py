"""Fork children of a process that has imported everything: far quicker than a start.

The parent has no connections and no threads; each child opens its own.
"""

import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Any


class Child:
    """Runs `act(pipe, *args)` in a process of its own, until it ends or is killed."""

    def __init__(self, act: Callable[..., None], *args: Any) -> None:
        self.pipe, theirs = Pipe()
        self.pid = os.fork()
        if not self.pid:
            self.pipe.close()
            live(act, theirs, *args)
        theirs.close()
        self.status: int | None = None

    def ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def kill(self) -> None:
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Let a running child close what it has opened, and end."""
        if not self.ended():
            os.kill(self.pid, signal.SIGTERM)

    def wait(self) -> bool:
        """Wait for the child; return whether it was killed before its end."""
        if self.status is None:
            self.status = os.waitpid(self.pid, 0)[1]
        self.pipe.close()
        assert os.WIFSIGNALED(self.status) or os.WEXITSTATUS(self.status) == 0, (
            "a child failed, see above"
        )
        return os.WIFSIGNALED(self.status)


def live(act: Callable[..., None], *args: Any) -> None:
    code = 1
    try:
        act(*args)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def send_result(pipe: Connection, act: Callable[..., Any], *args: Any) -> None:
    pipe.send(act(*args))


def call_in_child(act: Callable[..., Any], *args: Any) -> Any:
    """Return the result of a function that runs in a child."""
    return collect(Child(send_result, act, *args))


def collect(child: Child) -> Any:
    try:
        result = child.pipe.recv()
    except EOFError:
        raise SystemExit("a part of the run failed, see above") from None
    child.wait()
    return result


class Helper:
    """A child that runs the functions sent to it, with its own connections."""

    def __init__(self) -> None:
        self.child = Child(serve)

    def __call__(self, act: Callable[..., Any], *args: Any) -> Any:
        self.child.pipe.send((act, args))
        try:
            return self.child.pipe.recv()
        except EOFError:
            raise SystemExit("a helper failed, see above") from None

    def close(self) -> None:
        self.child.kill()
        self.child.wait()


def serve(pipe: Connection) -> None:
    while True:
        try:
            act, args = pipe.recv()
        except EOFError:
            return
        pipe.send(act(*args))
