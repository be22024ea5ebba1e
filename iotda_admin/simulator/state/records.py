"""Record IDs, which order pages. Only markers show them; they are not device IDs."""

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from typing import Protocol

LAST = (1 << 96) - 1  # "ffffffffffffffffffffffff"


class Record(Protocol):
    @property
    def record_id(self) -> int: ...


_record_id = attrgetter("record_id")


def marker(record_id: int) -> str:
    return f"{record_id:024x}"


def record_id_at(seconds: float, number: int = 0) -> int:
    """Like an ObjectId: the seconds come first, so a newer ID is larger."""
    return (int(seconds) << 64) | number


class RecordIds:
    """Creates increasing IDs, even when the clock stops or goes back."""

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def next(self, now: float) -> int:
        self.last = max(self.last + 1, record_id_at(now))
        return self.last


class RecordList[Item: Record]:
    """Items ordered by record ID; a page starts with the newest."""

    __slots__ = ("items",)

    def __init__(self, items: list[Item] | None = None) -> None:
        self.items = items or []

    def __len__(self) -> int:
        return len(self.items)

    def add(self, item: Item) -> None:
        if not self.items or self.items[-1].record_id < item.record_id:
            self.items.append(item)
        else:
            self.items.insert(self._index(item.record_id), item)

    def remove(self, item: Item) -> None:
        del self.items[self._index(item.record_id)]

    def _index(self, record_id: int) -> int:
        return bisect_left(self.items, record_id, key=_record_id)

    def count_below(self, record_id: int) -> int:
        """Count the items with a smaller record ID."""
        return len(self.items) if record_id == LAST else self._index(record_id)

    def window(self, below: int, offset: int, limit: int) -> Sequence[Item]:
        end = self.count_below(below) - offset
        return self.items[max(end - limit, 0) : max(end, 0)][::-1]
