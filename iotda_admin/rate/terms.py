"""What a limit allows, and what we take of it."""

from dataclasses import dataclass

from django.conf import settings

ACCOUNT = "account"

# What we take of the rate and of the burst.
RATE_SHARE, BURST_SHARE = 0.98, 0.9
# The platform's bucket fills from a first call's arrival, ours from its start, a connection's set-up earlier:
# what comes in that time is left unused.
SET_UP_SECONDS = 0.1
# One write to the database serves this much time at the most.
BLOCK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Terms:
    rate: float
    burst: float

    @property
    def interval(self) -> float:
        """Seconds between two slots."""
        return 1 / (self.rate * RATE_SHARE)

    @property
    def tolerance(self) -> float:
        """How much earlier than evenly spaced a slot may come."""
        burst = min(self.burst * BURST_SHARE, self.burst - self.rate * SET_UP_SECONDS)
        return (max(1.0, burst) - 1) * self.interval

    @property
    def block(self) -> int:
        """How many slots a process may reserve at once."""
        return max(1, int(self.rate * BLOCK_SECONDS))


def account_terms() -> Terms:
    return Terms(settings.IOTDA_RATE, settings.IOTDA_BURST)
