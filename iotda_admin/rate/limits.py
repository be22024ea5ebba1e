"""What IoTDA allows, and how much of it this product uses."""

from dataclasses import dataclass

from django.conf import settings

# The limit's name in the store: IoTDA counts the calls of an account.
ACCOUNT = "account"

# The shares of the rate and of the burst that we use.
RATE_SHARE, BURST_SHARE = 0.98, 0.9
# IoTDA's bucket refills from a first call's arrival; ours from its start, earlier by
# the connection's set-up. Calls of that time stay unused.
SET_UP_SECONDS = 0.1
# One write to the store reserves slots for at most this time.
BLOCK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`rate` calls a second on average, and at most `burst` calls at once.

    The limits of one `name` are one row of the store.
    """

    rate: float
    burst: float
    name: str = ACCOUNT

    @property
    def interval(self) -> float:
        """Seconds between two slots."""
        return 1 / (self.rate * RATE_SHARE)

    @property
    def tolerance(self) -> float:
        """How many seconds before its evenly spaced time a slot may be used."""
        burst = min(self.burst * BURST_SHARE, self.burst - self.rate * SET_UP_SECONDS)
        return (max(1.0, burst) - 1) * self.interval

    @property
    def block(self) -> int:
        """How many slots a process may reserve at once."""
        return max(1, int(self.rate * BLOCK_SECONDS))


def account_limit() -> RateLimit:
    """Return the account's limit from the settings IOTDA_RATE and IOTDA_BURST."""
    return RateLimit(settings.IOTDA_RATE, settings.IOTDA_BURST)
