"""Record ids: what pages are ordered and marked by. Not device ids, and visible only as markers."""

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from typing import Protocol

LAST = (1 << 96) - 1  # "ffffffffffffffffffffffff"


class Recorded(Protocol):
    @property
    def record(self) -> int: ...


_record = attrgetter("record")


def marker(record: int) -> str:
    return f"{record:024x}"


def record_at(seconds: float, number: int = 0) -> int:
    """Like an ObjectId: seconds in front, so newer is larger."""
    return (int(seconds) << 64) | number


class RecordIds:
    """Ever larger, even when the clock stands still or goes back."""

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def __call__(self, now: float) -> int:
        self.last = max(self.last + 1, record_at(now))
        return self.last


class Records[Item: Recorded]:
    """Items in the order of their records; newest first when paged."""

    __slots__ = ("items",)

    def __init__(self, items: list[Item] | None = None) -> None:
        self.items = items or []

    def __len__(self) -> int:
        return len(self.items)

    def add(self, item: Item) -> None:
        if not self.items or self.items[-1].record < item.record:
            self.items.append(item)
        else:
            self.items.insert(self._before(item.record), item)

    def remove(self, item: Item) -> None:
        del self.items[self._before(item.record)]

    def _before(self, record: int) -> int:
        return bisect_left(self.items, record, key=_record)

    def below(self, record: int) -> int:
        """How many items have a smaller record."""
        return len(self.items) if record == LAST else self._before(record)

    def window(self, below: int, offset: int, limit: int) -> Sequence[Item]:
        end = self.below(below) - offset
        return self.items[max(end - limit, 0) : max(end, 0)][::-1]
