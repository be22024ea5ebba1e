"""The gate of our client: no request leaves faster than IoTDA allows all processes together."""

from django.conf import settings
from django.utils.translation import ngettext

from iotda_admin.iotda import Throttled
from iotda_admin.rate import ledger
from iotda_admin.rate.ledger import TooFar, Unavailable
from iotda_admin.rate.limiter import Limiter
from iotda_admin.rate.terms import ACCOUNT, account_terms

# How long to be quiet when IoTDA asks for it and does not say how long.
PAUSE_SECONDS = 1.0


class SharedRate:
    def __init__(self) -> None:
        self._limiter = Limiter(ACCOUNT)

    def enter(self, operation: str) -> None:
        """Wait for a slot, at most as long as a call may take. Throttled if none is near; none is taken."""
        if not settings.IOTDA_RATE:
            return
        terms = account_terms()
        try:
            self._limiter.take(terms, settings.IOTDA_DEADLINE)
        except TooFar as far:
            raise refusal(operation, terms.rate, far.seconds) from None

    def throttled(self, operation: str, retry_after: float | None) -> None:
        if settings.IOTDA_RATE:
            self._limiter.pause(account_terms(), retry_after or PAUSE_SECONDS)


def refusal(operation: str, rate: float, seconds: float) -> Throttled:
    says = ngettext(
        "%(rate)g call a second is allowed; the next is free in %(seconds).0f s.",
        "%(rate)g calls a second are allowed; the next is free in %(seconds).0f s.",
        1 if rate == 1 else 2,
    )
    message = says % {"rate": rate, "seconds": max(1.0, seconds)}
    return Throttled(message, operation=operation, retryable=True, retry_after=seconds)


def wait() -> float:
    """Seconds until the next call may go: for what a page says."""
    return seconds_for(1)


def seconds_for(calls: int) -> float:
    """About how long so many calls take at the rate, if nobody else calls; 0.0 where nothing limits them."""
    if not settings.IOTDA_RATE or calls < 1:
        return 0.0
    terms = account_terms()
    try:
        return ledger.wait(ACCOUNT, terms, calls)
    except Unavailable:
        return (calls - 1) * terms.interval
