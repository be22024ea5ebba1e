"""Compare the records with the simulator: a figure counts only if they agree."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tests.cloud import Cloud

SUCCEEDED = {"ok", "already"}
ENDED = SUCCEEDED | {"failed", "skipped", "cancelled"}


@dataclass(frozen=True)
class Identity:
    """All of these must be 0."""

    missing: int  # requested, but not applied by the platform
    unrecorded: (
        int  # without a recorded outcome, or applied but not recorded as applied
    )
    wrong: int  # recorded as done, but not applied
    twice: int  # changed by more than one call

    @property
    def lost(self) -> int:
        return max(self.missing, self.unrecorded)

    def __add__(self, other: "Identity") -> "Identity":
        return Identity(
            self.missing + other.missing,
            self.unrecorded + other.unrecorded,
            self.wrong + other.wrong,
            self.twice + other.twice,
        )


NOTHING = Identity(0, 0, 0, 0)


def compare(
    asked: Collection[str],
    applied: Collection[str],
    sent: Counter[str],
    said: Mapping[str, str],
) -> Identity:
    """Compare the recorded outcomes (`said`) with the platform.

    `applied` are the targets that the platform changed; `sent` counts the calls that
    changed each target.
    """
    asked, applied = set(asked), set(applied)
    done = {id for id, state in said.items() if state in SUCCEEDED}
    ended = {id for id, state in said.items() if state in ENDED}
    return Identity(
        missing=len(asked - applied),
        unrecorded=len((asked - ended) | ((asked & applied) - done)),
        wrong=len((done - applied) | (done - asked)),
        twice=sum(times > 1 for times in sent.values()),
    )


def bound(
    cloud: Cloud, policy: str, asked: Collection[str], said: Mapping[str, str]
) -> Identity:
    return compare(asked, cloud.bound(policy), sent(cloud, "BindDevicePolicy"), said)


def sent(cloud: Cloud, *operations: str) -> Counter[str]:
    carried_out = (
        one
        for one in cloud.journal()
        if one["operation"] in operations and one["status"] != 429
    )
    return Counter(id for one in carried_out for id in one["target_ids"])
