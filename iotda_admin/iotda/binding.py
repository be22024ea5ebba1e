"""The result of BindDevicePolicy and UnbindDevicePolicy, and what it proves.

HTTP 200 does not mean success: the body divides the targets into bound and refused.
The platform's treatment of odd input is not documented, so an id's absence proves
nothing.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from .documents import FromJson, Json, get_text, need_list, need_rows, need_text


class BindState(StrEnum):
    """What a result proves about one id."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TargetFailure(FromJson):
    target_id: str
    error_code: str  # IOTDA.015204: has 5 policies; other codes are not documented
    error_msg: str = ""


@dataclass(frozen=True, slots=True)
class BindOutcome:
    """The outcome of one target id."""

    state: BindState
    error_code: str = ""
    error_msg: str = ""


@dataclass(frozen=True, slots=True)
class BindOutcomes:
    by_id: dict[str, BindOutcome]  # exactly the ids sent, in their order
    anomalies: tuple[str, ...]  # sentences for log and audit; () if there are none


@dataclass(frozen=True, slots=True)
class BindResult:
    policy_id: str
    target_type: str
    success_targets: tuple[str, ...]
    failure_targets: tuple[TargetFailure, ...]
    status: int = 0  # HTTP
    request_id: str = ""

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        """Build the result; the policy and both lists are required."""
        return cls(
            need_text(doc, "policy_id"),
            get_text(doc, "target_type"),
            tuple(need_list(doc, "success_targets", str)),
            need_rows(doc, "failure_targets", TargetFailure.from_json),
        )

    @property
    def named(self) -> list[str]:
        """The ids in both lists, as often as they are there."""
        failures = [failure.target_id for failure in self.failure_targets]
        return [*self.success_targets, *failures]

    def outcomes(self, sent_ids: Collection[str]) -> BindOutcomes:
        """Return what the result proves about each id that was sent; never raises.

        ok       in success_targets only
        failed   in failure_targets only, with its first code and message
        unknown  in both lists or in neither: read the platform back

        An id that is named twice becomes an anomaly.
        """
        succeeded = set(self.success_targets)
        failed = {row.target_id: row for row in reversed(self.failure_targets)}
        by_id = {
            sent: _outcome(sent in succeeded, failed.get(sent)) for sent in sent_ids
        }
        return BindOutcomes(by_id, tuple(self._anomalies(by_id)))

    def _anomalies(self, by_id: Collection[str]) -> Iterator[str]:
        failures = {failure.target_id for failure in self.failure_targets}
        both, named = failures.intersection(self.success_targets), Counter(self.named)
        for sent in by_id:
            if sent in both:
                yield f"both bound and refused: {sent}"
            elif named[sent] > 1:
                yield f"named more than once: {sent}"
            elif not named[sent]:
                yield f"not named: {sent}"


def _outcome(succeeded: bool, failure: TargetFailure | None) -> BindOutcome:
    if succeeded == (failure is not None):
        return BindOutcome(BindState.UNKNOWN)
    if failure:
        return BindOutcome(BindState.FAILED, failure.error_code, failure.error_msg)
    return BindOutcome(BindState.OK)
