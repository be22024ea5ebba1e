"""What a limit allows, and what we take of it."""

from dataclasses import dataclass

from django.conf import settings

from iotda_admin.iotda import SEARCH_RATE

ACCOUNT, SEARCH = "account", "SearchDevices"

# The platform's bucket fills from the first call's arrival, ours from its start: a connection's set-up
# earlier. What we leave unused is what that may cost.
RATE_SHARE, BURST_SHARE = 0.98, 0.9
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
        return (max(1.0, self.burst * BURST_SHARE) - 1) * self.interval

    @property
    def block(self) -> int:
        """How many slots a process may reserve at once."""
        return max(1, int(self.rate * BLOCK_SECONDS))


def terms_of(name: str) -> Terms:
    if name == SEARCH:
        return Terms(SEARCH_RATE, 1)
    return Terms(settings.IOTDA_RATE, settings.IOTDA_BURST)


def limits_of(operation: str) -> list[str]:
    """The limits that a call counts against."""
    if not settings.IOTDA_RATE:
        return []
    return [SEARCH, ACCOUNT] if operation == SEARCH else [ACCOUNT]
