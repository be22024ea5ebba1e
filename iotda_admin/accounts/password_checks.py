"""Limit the password hashes and the sign-ins of a process that run at once.

A hash takes memory and processor time on purpose. Without a limit, many sign-ins take both
from everything else, and hold all threads of the web server.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher

# The longest that a sign-in waits for its place.
WAIT_SECONDS = 2.0
# Threads of their own: the C library keeps the memory of a hash for each thread.
hashes = ThreadPoolExecutor(settings.PASSWORD_HASHES_AT_ONCE, "hash")
checks = threading.BoundedSemaphore(settings.PASSWORD_CHECKS_AT_ONCE)
queue = threading.BoundedSemaphore(
    settings.PASSWORD_CHECKS_AT_ONCE + settings.PASSWORD_CHECKS_WAITING
)


class TooManyChecks(Exception):
    """So many sign-ins wait that this one would hold a thread for too long."""


@contextmanager
def place_for_check() -> Iterator[None]:
    """Wait for a place to check a password in. Raise TooManyChecks if many wait."""
    if not queue.acquire(blocking=False):
        raise TooManyChecks
    try:
        if not checks.acquire(timeout=WAIT_SECONDS):
            raise TooManyChecks
        try:
            yield
        finally:
            checks.release()
    finally:
        queue.release()


class LimitedArgon2Hasher(Argon2PasswordHasher):
    """Argon2id with the parameters that OWASP recommends, and 19 instead of 100 MiB.

    A password that was hashed with others is hashed again when its user signs in.
    """

    time_cost, memory_cost, parallelism = 2, 19_456, 1

    def encode(self, password: str, salt: str) -> str:
        return hashes.submit(super().encode, password, salt).result()

    def verify(self, password: str, encoded: str) -> bool:
        return hashes.submit(super().verify, password, encoded).result()
