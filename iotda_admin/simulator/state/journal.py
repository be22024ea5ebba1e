"""Every request in order of arrival, with what it changed."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

ENTRIES_KEPT = 1_000_000


@dataclass(slots=True)
class Entry:
    """Without body and headers: both can contain secrets."""

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

    def add(self, time: float, operation: str, **facts: Any) -> Entry:
        """Record a request on arrival, so that unanswered requests are included."""
        entry = Entry(next(self._numbers), time, operation, **facts)
        self._entries.append(entry)
        return entry

    def clear(self) -> None:
        """Remove all entries. The numbers go on, so a reader's `after` stays valid."""
        self._entries.clear()

    def since(
        self, after: int = 0, operation: str | None = None
    ) -> Iterator[dict[str, Any]]:
        for entry in self._entries:
            if entry.seq > after and operation in (None, entry.operation):
                yield asdict(entry)
