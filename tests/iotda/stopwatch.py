"""Seconds a call took, less what the machine itself was late meanwhile."""

import threading
import time

TICK = 0.005


class Stopwatch:
    """Beside the call a thread sleeps in short ticks. How much later than asked it wakes is the noise of a
    shared machine: it meets the call as well, and says nothing of it."""

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
