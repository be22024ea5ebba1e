"""A limit as this process keeps it: slots are reserved in small blocks and handed out one after the other."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from math import inf

from iotda_admin.rate import ledger
from iotda_admin.rate.ledger import TooFar, Unavailable
from iotda_admin.rate.terms import BLOCK_SECONDS, Terms

log = logging.getLogger(__name__)

# A slot that lay unused for longer is void: used late, it would add to what is allowed by then.
OLD_SECONDS = 0.5
# After the database could not be asked, for so long it is not asked again.
ALONE_SECONDS = 5.0


class Limiter:
    """The next block is reserved when the last slot of the one before is due, by one thread for all.

    So a process is never more than a block ahead: another one's call gets its slot soon, and what one
    learns of a pause reaches all within a block.
    """

    def __init__(
        self,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name, self._clock, self._sleep = name, clock, sleep
        self._turn = threading.Lock()
        self._queue: deque[object] = deque()
        # What follows belongs to the thread whose turn it is, except for the count of pauses.
        self._slots: deque[float] = deque()
        self._size, self._last = 1, -inf
        self._pauses = self._known_pauses = 0
        self._alone_until = self._alone_next = -inf

    def take(self, terms: Terms, patience: float) -> None:
        """Wait for a slot. TooFar if that would take longer than `patience`."""
        ends = self._clock() + patience
        behind = len(self._queue) * terms.interval - terms.tolerance
        if behind > patience:
            raise TooFar(behind)
        pauses = -1
        while pauses != self._pauses:  # a slot from before a pause is void
            pauses = self._pauses
            self._sleep_until(self._slot(terms, ends))

    def _slot(self, terms: Terms, ends: float) -> float:
        """The moment of the next slot, for this thread."""
        ticket = object()
        self._queue.append(ticket)
        try:
            if not self._turn.acquire(timeout=max(0.0, ends - self._clock())):
                raise TooFar(len(self._queue) * terms.interval)
            try:
                return self._next(terms, ends)
            finally:
                self._turn.release()
        finally:
            self._queue.remove(ticket)

    def _sleep_until(self, moment: float) -> None:
        early = moment - self._clock()
        if early > 0:
            self._sleep(early)

    def pause(self, terms: Terms, seconds: float) -> None:
        """The platform asks to slow down: what is held here is void, and the row tells the others."""
        self._pauses += 1
        self._alone_next = max(self._alone_next, self._clock() + seconds)
        try:
            ledger.pause(self.name, terms, seconds)
        except Unavailable as error:
            log.warning("the pause of %.1f s could not be shared: %s", seconds, error)

    def _next(self, terms: Terms, ends: float) -> float:
        if self._known_pauses != self._pauses:
            self._known_pauses = self._pauses
            self._slots.clear()
        while self._slots:
            slot = self._slots.popleft()
            if slot + OLD_SECONDS >= self._clock():
                return slot
        self._sleep_until(min(self._last, ends))
        self._slots.extend(self._reserve(terms, ends))
        return self._slots.popleft()

    def _reserve(self, terms: Terms, ends: float) -> list[float]:
        now = self._clock()
        if now < self._alone_until:
            return self._alone(terms, ends)
        # The last block's slots were wanted as they came due: more at once will be used as well.
        size = self._size * 2 if now - self._last < BLOCK_SECONDS else 1
        self._size = min(terms.block, max(size, len(self._queue)))
        try:
            wait = ledger.reserve(self.name, terms, self._size, ends - now)
        except Unavailable as error:
            log.warning(
                "the shared rate cannot be kept (%s): this process keeps to it by itself",
                error,
            )
            self._alone_until = self._clock() + ALONE_SECONDS
            return self._alone(terms, ends)
        now = self._clock()
        slots = [
            now + max(0.0, wait + number * terms.interval)
            for number in range(self._size)
        ]
        self._last = self._alone_next = slots[-1]
        return slots

    def _alone(self, terms: Terms, ends: float) -> list[float]:
        """Without the database the platform can still be reached: at the rate, without a burst."""
        now = self._clock()
        slot = max(now, self._alone_next)
        if slot > ends:
            raise TooFar(slot - now)
        self._last, self._alone_next = slot, slot + terms.interval
        return [slot]
