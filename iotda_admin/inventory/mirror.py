"""A listing of the platform and the table that mirrors it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cache
from itertools import batched
from typing import Any

from django.conf import settings
from django.db.models import Model
from django.utils import timezone
from django.utils.module_loading import import_string

from iotda_admin.iotda import Client, FetchPage, walk_windows
from iotda_admin.rate.retries import retrying

ROWS_TOGETHER = 500


class Mirror:
    """Subclasses say what is read and into which table; each table has a `read_at`."""

    model: type[Model]
    # What tells two rows apart, and what a newer reading overwrites.
    key: Sequence[str]
    fields: Sequence[str]

    def pages(self, client: Client) -> Iterator[list[Model]]:
        """The whole listing, as unsaved rows."""
        raise NotImplementedError

    def refresh(self, client: Client, progress: Callable[[int], None]) -> int:
        """Read the whole listing into the table; rows that are gone there are removed here."""
        started = timezone.now()
        total = 0
        for rows in self.pages(client):
            self.save(rows, started)
            total += len(rows)
            progress(len(rows))
        # Only a listing that was read to its end says what is gone.
        self.model._default_manager.filter(read_at__lt=started).delete()
        return total

    def save(self, rows: Sequence[Model], started: datetime | None = None) -> None:
        """Insert or overwrite. What an action has read while the listing was under way is newer: it stays."""
        rows = self.without_newer(rows, started) if started else rows
        for row in rows:
            clip(row)
        self.model._default_manager.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=list(self.key),
            update_fields=[*self.fields, "read_at"],
            batch_size=ROWS_TOGETHER,
        )

    def without_newer(
        self, rows: Sequence[Model], started: datetime
    ) -> Sequence[Model]:
        first = self.key[0]
        names = {getattr(row, first) for row in rows}
        newer = self.model._default_manager.filter(
            **{f"{first}__in": names}, read_at__gt=started
        )
        kept = set(newer.values_list(*self.key))
        return [
            row
            for row in rows
            if tuple(getattr(row, name) for name in self.key) not in kept
        ]


def clip(row: Model) -> None:
    """Cut what the platform sends longer than it says: one odd value must not stop a whole reading."""
    for field in row._meta.concrete_fields:
        limit = getattr(field, "max_length", None)
        value = getattr(row, field.attname)
        if limit and isinstance(value, str) and len(value) > limit:
            setattr(row, field.attname, value[:limit])


@cache
def mirrors() -> list[Mirror]:
    return [import_string(path)() for path in settings.INVENTORY_MIRRORS]


def listing[T](
    fetch_page: FetchPage[T], key: Callable[[T], Any]
) -> Iterator[tuple[T, ...]]:
    """A whole list of the platform, in handfuls that are saved together."""
    rows = walk_windows(
        retrying(fetch_page), key=key, in_flight=settings.INVENTORY_IN_FLIGHT
    )
    return batched(rows, ROWS_TOGETHER)
