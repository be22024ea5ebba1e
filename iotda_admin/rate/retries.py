"""Reads that are repeated while that can help."""

from collections.abc import Callable

import stamina

from iotda_admin.iotda import IotdaError


def retrying[**P, T](
    read: Callable[P, T], *, attempts: int = 6, timeout: float = 90.0
) -> Callable[P, T]:
    """Return `read` with retries on retryable errors, `timeout` seconds in all.

    It waits as long as IoTDA asks, or else exponentially longer after each attempt.
    """
    return stamina.retry(on=_wait, attempts=attempts, timeout=timeout, wait_max=20.0)(
        read
    )


def _wait(error: Exception) -> bool | float:
    """Say whether to retry, or after how many seconds."""
    if not isinstance(error, IotdaError) or not error.retryable:
        return False
    return error.retry_after or True
