"""Which policy is on which target, found from either side."""

from collections import defaultdict
from collections.abc import Iterator

from .records import RecordIds, Records
from .things import Binding, Target


class Bindings:
    def __init__(self, record_ids: RecordIds) -> None:
        self._record_ids = record_ids
        self._of_target: dict[Target, dict[str, Binding]] = {}
        # Keyed by policy and target type; None is every type.
        self._of_policy: defaultdict[tuple[str, str | None], Records[Binding]] = (
            defaultdict(Records)
        )

    def on(self, target: Target) -> dict[str, Binding]:
        return self._of_target.get(target, {})

    def of(self, policy_id: str, target_type: str | None = None) -> Records[Binding]:
        return self._of_policy[policy_id, target_type]

    def add(self, policy_id: str, target: Target, now: float) -> bool:
        """False if it was there already."""
        if policy_id in self.on(target):
            return False
        binding = Binding(self._record_ids(now), policy_id, target, now)
        self._of_target.setdefault(target, {})[policy_id] = binding
        for target_type in (None, target.type):
            self._of_policy[policy_id, target_type].add(binding)
        return True

    def remove(self, policy_id: str, target: Target) -> bool:
        binding = self.on(target).get(policy_id)
        if binding is None:
            return False
        for target_type in (None, target.type):
            self._of_policy[policy_id, target_type].remove(binding)
        del self._of_target[target][policy_id]
        if not self._of_target[target]:
            del self._of_target[target]
        return True

    def forget_policy(self, policy_id: str) -> list[Target]:
        targets = [binding.target for binding in self.of(policy_id).items]
        for target in targets:
            self.remove(policy_id, target)
        return targets

    def forget_target(self, target: Target) -> None:
        for policy_id in list(self.on(target)):
            self.remove(policy_id, target)

    def every(self) -> Iterator[Binding]:
        for bound in self._of_target.values():
            yield from bound.values()
