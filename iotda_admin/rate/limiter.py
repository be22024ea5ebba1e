"""A token bucket: reserves slots in small blocks and hands them out one by one."""

import logging
import threading
import time
from collections import deque
from dataclasses import replace
from math import inf

from iotda_admin.rate import store
from iotda_admin.rate.limits import BLOCK_SECONDS, RateLimit
from iotda_admin.rate.own_connection import TIMEOUT_SECONDS, StoreUnavailable
from iotda_admin.rate.store import SlotTooFar

log = logging.getLogger(__name__)

# A slot that was not used for this long is void: it would add to a later burst.
SLOT_LIFETIME_SECONDS = 0.5
# A bucket that yields queues for a block if it had no slot for this long. Meanwhile it
# tries again when one should be due, and this much later.
YIELD_SECONDS, RETRY_SECONDS = 1.0, 0.01
# A bucket that yields waits for the store only so long: its caller may try again.
YIELD_STORE_SECONDS = 0.1
# After a failure of the store, do not try it again for this long.
STORE_RETRY_SECONDS = 5.0


class TokenBucket:
    """One process's view of a shared limit. Safe to share between threads.

    One thread reserves the next block for all, when the last slot of the block before
    is due. So a process is at most a block ahead of the others: their calls get slots
    soon, and a pause that one process meets reaches all within a block.

    A bucket that `yields` takes only slots that are due now, and leaves half of the
    burst to the others. If they take all slots, it queues for one block a second.
    Without the store it has no slots; another bucket then limits only this process.
    """

    def __init__(self, *, yields: bool = False) -> None:
        self._yields = yields
        self._turn = threading.Lock()
        self._waiting: deque[None] = deque()
        # `_turn` guards the attributes below, except the count of pauses.
        self._slots: deque[float] = deque()
        self._block_size, self._last_slot = 1, -inf
        self._pauses = self._known_pauses = 0
        self._store_retry_at = self._local_next = -inf

    def take(self, limit: RateLimit, timeout: float) -> None:
        """Wait for a slot; raise SlotTooFar if that would take over `timeout` s.

        A bucket that yields raises StoreUnavailable.
        """
        ends = time.monotonic() + timeout
        behind = len(self._waiting) * limit.interval - limit.tolerance
        if behind > timeout:
            raise SlotTooFar(behind)
        pauses = -1
        while pauses != self._pauses:  # a slot from before a pause is void
            pauses = self._pauses
            self._sleep_until(self._slot(limit, ends))

    def pause(self, limit: RateLimit, seconds: float) -> None:
        """Void all slots and share the pause that IoTDA asks for."""
        self._pauses += 1
        self._local_next = max(self._local_next, time.monotonic() + seconds)
        try:
            store.pause_slots(limit, seconds)
        except StoreUnavailable as error:
            log.warning("cannot share the pause of %.1f s: %s", seconds, error)

    def _slot(self, limit: RateLimit, ends: float) -> float:
        """Return the time of this thread's slot."""
        self._waiting.append(None)  # only their number matters
        try:
            if not self._turn.acquire(timeout=max(0.0, ends - time.monotonic())):
                raise SlotTooFar(len(self._waiting) * limit.interval)
            try:
                return self._next_slot(limit, ends)
            finally:
                self._turn.release()
        finally:
            self._waiting.pop()

    def _sleep_until(self, moment: float) -> None:
        early = moment - time.monotonic()
        if early > 0:
            time.sleep(early)

    def _next_slot(self, limit: RateLimit, ends: float) -> float:
        if self._known_pauses != self._pauses:
            self._known_pauses = self._pauses
            self._slots.clear()
        while self._slots:
            slot = self._slots.popleft()
            if slot + SLOT_LIFETIME_SECONDS >= time.monotonic():
                return slot
        self._sleep_until(min(self._last_slot, ends))
        self._slots.extend(self._reserve_block(limit, ends))
        return self._slots.popleft()

    def _reserve_block(self, limit: RateLimit, ends: float) -> list[float]:
        now = time.monotonic()
        if now < self._store_retry_at:
            return [self._local_slot(limit, ends)]
        # The last block's slots were used as they came due: a larger one will be, too.
        size = self._block_size * 2 if now - self._last_slot < BLOCK_SECONDS else 1
        self._block_size = min(limit.block, max(size, len(self._waiting)))
        try:
            wait = self._reserve(limit, ends)
        except StoreUnavailable as error:
            if self._yields:
                raise
            log.warning(
                "cannot reach the shared rate limit (%s): this process limits itself",
                error,
            )
            self._store_retry_at = time.monotonic() + STORE_RETRY_SECONDS
            return [self._local_slot(limit, ends)]
        now = time.monotonic()
        slots = [
            now + max(0.0, wait + number * limit.interval)
            for number in range(self._block_size)
        ]
        self._last_slot = self._local_next = slots[-1]
        return slots

    def _reserve(self, limit: RateLimit, ends: float) -> float:
        """Reserve the block in the store; return the seconds until it is due."""
        size = self._block_size
        store_seconds = YIELD_STORE_SECONDS if self._yields else TIMEOUT_SECONDS
        queues_at = self._last_slot + YIELD_SECONDS if self._yields else -inf
        half = replace(limit, burst=limit.burst / 2)
        while (now := time.monotonic()) < min(queues_at, ends):
            try:
                return store.reserve_slots(half, size, 0, store_seconds)
            except SlotTooFar as far:
                due = now + far.seconds + RETRY_SECONDS
                self._sleep_until(min(due, queues_at, ends))
        return store.reserve_slots(limit, size, ends - now, store_seconds)

    def _local_slot(self, limit: RateLimit, ends: float) -> float:
        """Return a slot without the store: at the rate, without a burst."""
        now = time.monotonic()
        slot = max(now, self._local_next)
        if slot > ends:
            raise SlotTooFar(slot - now)
        self._last_slot, self._local_next = slot, slot + limit.interval
        return slot
