"""The answer of BindDevicePolicy and UnbindDevicePolicy, and how far it may be believed.

HTTP 200 is not success here: the body splits the targets into bound and refused. What the platform does with
odd input is not documented, so nothing is concluded from an id's absence.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from .fields import Json, Malformed, need, need_id, rows, strings, text

ANOMALY_LIMIT = (
    50  # sentences kept of one answer; a body may name thousands of strangers
)


class BindState(StrEnum):
    """What an answer proves about one id."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TargetFailure:
    target_id: str
    error_code: str  # IOTDA.015204: the target carries 5 policies already; other codes are not documented
    error_msg: str

    @classmethod
    def from_json(cls, doc: Json) -> Self:
        return cls(
            need(doc, "target_id", str),
            need_id(doc, "error_code"),
            text(doc, "error_msg"),
        )


@dataclass(frozen=True, slots=True)
class BindOutcome:
    state: BindState
    error_code: str = ""
    error_msg: str = ""


@dataclass(frozen=True, slots=True)
class BindOutcomes:
    by_id: dict[str, BindOutcome]  # exactly the ids sent, in their order
    anomalies: tuple[
        str, ...
    ]  # sentences for the log and the audit; () for a sound answer


@dataclass(frozen=True, slots=True)
class BindResult:
    policy_id: str
    target_type: str
    success_targets: tuple[str, ...]
    failure_targets: tuple[TargetFailure, ...]
    status: int = 0  # HTTP
    request_id: str = ""

    @classmethod
    def from_json(cls, doc: Json, policy_id: str, target_type: str) -> Self:
        """Strict: both lists must be there and hold what they should; policy and target type are those
        asked."""
        answer = cls(
            need(doc, "policy_id", str),
            text(doc, "target_type"),
            strings(doc, "success_targets"),
            rows(doc, "failure_targets", TargetFailure.from_json),
        )
        if answer.policy_id != policy_id:
            raise Malformed("the answer is about another policy")
        if answer.target_type not in ("", target_type):
            raise Malformed("the answer is about another kind of target")
        return answer

    def outcomes(self, sent_ids: Collection[str]) -> BindOutcomes:
        """What is known about each id sent. Pure; never raises on an odd answer.

        ok       in success_targets only
        failed   in failure_targets only, with the first code and message given for it
        unknown  in both lists or in neither: the platform has to be asked

        An id that was not sent decides nothing and becomes an anomaly, as does an id given twice.
        """
        succeeded = set(self.success_targets)
        failed: dict[str, TargetFailure] = {}
        for failure in self.failure_targets:
            failed.setdefault(failure.target_id, failure)
        by_id = {
            sent: _outcome(sent in succeeded, failed.get(sent)) for sent in sent_ids
        }
        return BindOutcomes(by_id, tuple(self._anomalies(by_id)))

    def _anomalies(self, by_id: dict[str, BindOutcome]) -> list[str]:
        failures = [failure.target_id for failure in self.failure_targets]
        named = Counter(self.success_targets) + Counter(failures)
        both = set(self.success_targets) & set(failures)
        found = [f"not sent: {extra[:128]!a}" for extra in named if extra not in by_id]
        found += [f"both bound and refused: {sent}" for sent in by_id if sent in both]
        found += [
            f"named more than once: {sent}"
            for sent in by_id
            if named[sent] > 1 and sent not in both
        ]
        found += [f"not named: {sent}" for sent in by_id if not named[sent]]
        return found[:ANOMALY_LIMIT]


def _outcome(succeeded: bool, failure: TargetFailure | None) -> BindOutcome:
    if succeeded and failure is None:
        return BindOutcome(BindState.OK)
    if failure is not None and not succeeded:
        return BindOutcome(BindState.FAILED, failure.error_code, failure.error_msg)
    return BindOutcome(BindState.UNKNOWN)
