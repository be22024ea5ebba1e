"""What really happened, in the order it arrived: the ground truth tests compare a trail with."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

ENTRIES_KEPT = 1_000_000


@dataclass(slots=True)
class Entry:
    """Never a body and never a header: both can carry secrets."""

    seq: int
    time: float
    operation: str
    method: str = ""
    path: str = ""
    query: str = ""
    request_id: str = ""
    target_type: str | None = None
    target_ids: list[str] = field(default_factory=list)
    policy_id: str | None = None
    applied: list[str] = field(default_factory=list)
    status: int | None = None
    error_code: str | None = None
    fault: str | None = None
    answered: bool = False


class Journal:
    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_KEPT)
        self._numbers = count(1)

    def start(self, time: float, operation: str, **facts: Any) -> Entry:
        """Written on arrival, so a call that is never answered is in it too."""
        entry = Entry(next(self._numbers), time, operation, **facts)
        self._entries.append(entry)
        return entry

    def clear(self) -> None:
        self._entries.clear()  # numbers go on: a reader's "after" stays valid

    def since(
        self, after: int = 0, operation: str | None = None
    ) -> Iterator[dict[str, Any]]:
        for entry in self._entries:
            if entry.seq > after and operation in (None, entry.operation):
                yield asdict(entry)
