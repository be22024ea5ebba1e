"""Measure a call without the delays of a loaded machine."""

import threading
import time

TICK = 0.005


class Stopwatch:
    """Seconds of a block, minus the time that the machine was late.

    A thread sleeps in short ticks meanwhile. The delay of its wake-ups is the noise of
    a shared machine, which delays the call as well.
    """

    def __enter__(self) -> "Stopwatch":
        self.noise = 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.tick, daemon=True)
        self.thread.start()
        self.started = time.monotonic()
        return self

    def tick(self) -> None:
        while not self.over.is_set():
            before = time.monotonic()
            time.sleep(TICK)
            self.noise += max(0.0, time.monotonic() - before - TICK)

    def __exit__(self, *exception: object) -> None:
        self.elapsed = time.monotonic() - self.started
        self.over.set()
        self.thread.join()
        self.seconds = self.elapsed - self.noise
