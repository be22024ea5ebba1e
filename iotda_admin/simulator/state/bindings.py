"""Which policy is bound to which target, indexed from both sides."""

from collections import defaultdict
from collections.abc import Iterator

from .models import Binding, Target
from .records import RecordIds, RecordList


class Bindings:
    def __init__(self, record_ids: RecordIds) -> None:
        self._record_ids = record_ids
        self._by_target: dict[Target, dict[str, Binding]] = {}
        # Keyed by policy and target type; None is every type.
        self._by_policy: defaultdict[tuple[str, str | None], RecordList[Binding]] = (
            defaultdict(RecordList)
        )

    def of_target(self, target: Target) -> dict[str, Binding]:
        """Return the target's bindings by policy ID."""
        return self._by_target.get(target, {})

    def of_policy(
        self, policy_id: str, target_type: str | None = None
    ) -> RecordList[Binding]:
        return self._by_policy[policy_id, target_type]

    def all(self) -> Iterator[Binding]:
        for bindings in self._by_target.values():
            yield from bindings.values()

    def add(self, policy_id: str, target: Target, now: float) -> bool:
        """Bind a policy to a target. False if it is bound already."""
        if policy_id in self.of_target(target):
            return False
        binding = Binding(self._record_ids.next(now), policy_id, target, now)
        self._by_target.setdefault(target, {})[policy_id] = binding
        for target_type in (None, target.type):
            self._by_policy[policy_id, target_type].add(binding)
        return True

    def remove(self, policy_id: str, target: Target) -> bool:
        """Unbind a policy from a target. False if it is not bound."""
        binding = self.of_target(target).get(policy_id)
        if binding is None:
            return False
        for target_type in (None, target.type):
            self._by_policy[policy_id, target_type].remove(binding)
        del self._by_target[target][policy_id]
        if not self._by_target[target]:
            del self._by_target[target]
        return True

    def remove_policy(self, policy_id: str) -> None:
        for target in [binding.target for binding in self.of_policy(policy_id).items]:
            self.remove(policy_id, target)

    def remove_target(self, target: Target) -> None:
        for policy_id in list(self.of_target(target)):
            self.remove(policy_id, target)
