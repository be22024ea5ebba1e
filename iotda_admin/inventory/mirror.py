"""Listings of IoTDA, and the tables that mirror them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cache
from itertools import batched
from typing import Any

from django.conf import settings
from django.db.models import Model
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules

from iotda_admin.iotda import Client, FetchPage, walk_windows
from iotda_admin.rate.retries import retrying

BATCH_SIZE = 500


class Mirror:
    """One listing and its table, which has a field `read_at`."""

    # A listing is synced after those it refers to.
    order: int
    model: type[Model]
    # The fields that identify a row, and those that a sync overwrites.
    key: Sequence[str]
    fields: Sequence[str]

    def pages(self, client: Client) -> Iterator[list[Model]]:
        """Yield the whole listing as unsaved rows."""
        raise NotImplementedError

    def refresh(self, client: Client, progress: Callable[[int], None]) -> int:
        """Store the whole listing, and delete the rows that it no longer has."""
        started = timezone.now()
        total = 0
        for rows in self.pages(client):
            self.save(rows, started)
            total += len(rows)
            progress(len(rows))
        # Only a complete listing shows which rows are gone.
        self.model._default_manager.filter(read_at__lt=started).delete()
        return total

    def save(self, rows: Sequence[Model], started: datetime | None = None) -> None:
        """Insert or update rows, except those read later than `started` by an operation."""
        rows = self.without_newer(rows, started) if started else rows
        for row in rows:
            clip_values(row)
        self.model._default_manager.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=list(self.key),
            update_fields=[*self.fields, "read_at"],
            batch_size=BATCH_SIZE,
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


def clip_values(row: Model) -> None:
    """Cut values longer than documented: one of them must not stop a sync."""
    for field in row._meta.concrete_fields:
        limit = getattr(field, "max_length", None)
        value = getattr(row, field.attname)
        if limit and isinstance(value, str) and len(value) > limit:
            setattr(row, field.attname, value[:limit])


@cache
def mirrors() -> list[Mirror]:
    """Return the mirrors in the modules `sync` of all apps, in their order."""
    autodiscover_modules("sync")
    return [cls() for cls in sorted(Mirror.__subclasses__(), key=lambda c: c.order)]


def batched_listing[T](
    fetch_page: FetchPage[T], key: Callable[[T], Any]
) -> Iterator[tuple[T, ...]]:
    """Yield a whole listing in batches, each saved in one statement."""
    rows = walk_windows(
        retrying(fetch_page), key=key, in_flight=settings.INVENTORY_IN_FLIGHT
    )
    return batched(rows, BATCH_SIZE)
