"""Listings of IoTDA, and the tables that mirror them."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cache
from itertools import batched
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules

from iotda_admin.core.bulk_sql import insert_rows
from iotda_admin.core.search_text import search_text_fields
from iotda_admin.inventory.drift import Drift, record_drift
from iotda_admin.inventory.models import MirrorState, RemovedRow, SyncRun
from iotda_admin.iotda import Client, FetchPage, ListingPage, PageQuery, walk_windows
from iotda_admin.rate.retries import retrying

BATCH_SIZE = 500
# IoTDA is asked for so many of the rows that a listing left out before the next ones.
ASKED_AT_ONCE = 200


class Mirror:
    """One listing and its table, which has a field `read_at`.

    The newer of two facts wins: `read_at` is when the request was made that read the row.
    """

    # A listing is synced after those it refers to.
    order: int
    model: type[Model]
    # What users call these rows.
    title: Any
    # The fields that identify a row, and those that a sync overwrites.
    key: Sequence[str]
    fields: Sequence[str]

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    def pages(self, client: Client) -> Iterator[list[Model]]:
        """Yield the whole listing as unsaved rows."""
        raise NotImplementedError

    def refresh(self, client: Client, progress: Callable[[int], None]) -> None:
        """Store the whole listing, and delete the rows that IoTDA no longer has."""
        started = timezone.now()
        # What the first sync finds is no change.
        synced = MirrorState.objects.filter(table=self.table).exclude(fresh_at=None)
        compare = synced.exists()
        for rows in self.pages(client):
            self.save_newer(rows, compare=compare)
            progress(len(rows))
        self.delete_missing(client, started, progress)

    def delete_missing(
        self, client: Client, started: datetime, progress: Callable[[int], None]
    ) -> None:
        """Delete rows that the listing left out, and that IoTDA says it does not have.

        No listing is proof: rows come and go while it is read, and its count can be
        wrong. A listing that leaves out rows which exist is not trusted any further.
        """
        left_out = self.model._default_manager.filter(read_at__lt=started)
        while rows := list(left_out.order_by("read_at", "pk")[:ASKED_AT_ONCE]):
            asked_at = timezone.now()
            found = self.find(client, rows)
            self.save_newer(found)
            there = {self.key_of(row) for row in found}
            gone = [row.pk for row in rows if self.key_of(row) not in there]
            with transaction.atomic():
                # Not those that were read again or removed by an operation meanwhile.
                still = left_out.filter(pk__in=gone).select_for_update()
                deleted = list(still.order_by("pk"))
                drifts = self.drifts(deleted, deleted=True)
                left_out.filter(pk__in=[row.pk for row in deleted]).delete()
                record_drift(drifts, asked_at)
            progress(0)
            if there:
                return

    def find(self, client: Client, rows: Sequence[Any]) -> list[Model]:
        """Return those of the rows that IoTDA still has, as it has them now."""
        keys = {self.key_of(row) for row in rows}
        listed = (row for page in self.pages(client) for row in page)
        return list(
            {key: row for row in listed if (key := self.key_of(row)) in keys}.values()
        )

    def drifts(self, rows: Sequence[Any], *, deleted: bool = False) -> list[Drift]:
        """Return how these rows, not saved yet, differ from what is stored.

        `deleted`: IoTDA no longer has them.
        """
        return []

    def save(self, rows: Sequence[Model]) -> None:
        """Insert or update rows that were read just now."""
        for row in rows:
            clip_values(row)
        self.model._default_manager.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=list(self.key),
            update_fields=[*self.fields, "read_at", *search_text_fields(self.model)],
            batch_size=BATCH_SIZE,
        )

    def save_newer(self, rows: Sequence[Model], *, compare: bool = False) -> None:
        """Insert or update rows, except those that are known from a later time.

        With `compare`, record what changed without an operation of ours.
        """
        with transaction.atomic():
            newer = self.without_newer(rows)
            drifts = self.drifts(newer) if compare else []
            self.save(newer)
            if drifts:
                record_drift(drifts, min(row.read_at for row in newer))

    def without_newer(self, rows: Sequence[Any]) -> list[Any]:
        """Return the rows, each once, that are newer than what is stored or removed."""
        # One statement cannot write a row twice.
        latest = {self.key_of(row): row for row in rows}
        if not latest:
            return []
        first, since = self.key[0], min(row.read_at for row in rows)
        names = {getattr(row, first) for row in rows}
        newer = self.model._default_manager.filter(
            **{f"{first}__in": names}, read_at__gt=since
        )
        known = newer.order_by().select_for_update().values_list(*self.key, "read_at")
        removed = RemovedRow.objects.filter(table=self.table, removed_at__gt=since)
        times = [(tuple(key), at) for *key, at in known]
        removals = removed.values_list("key", "removed_at")
        times += [(tuple(json.loads(key)), at) for key, at in removals]
        for identity, at in times:
            if identity in latest and latest[identity].read_at < at:
                del latest[identity]
        return list(latest.values())

    def remove(self, rows: QuerySet[Any]) -> None:
        """Delete rows that an operation has removed from IoTDA.

        A sync that runs now may have read them before, and does not store them again.
        """
        if SyncRun.objects.filter(state=SyncRun.State.RUNNING).exists():
            template = RemovedRow(table=self.table)
            keys = rows.order_by().values_list(*self.key)
            insert_rows(template, ["key"], [(json.dumps(key),) for key in keys])
        rows.delete()

    def key_of(self, row: Any) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in self.key)


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
    fetch_page: FetchPage[T], key: Callable[[T], object]
) -> Iterator[tuple[tuple[T, datetime], ...]]:
    """Yield a whole listing in batches, each row with the time when it was requested."""
    fetch = retrying(fetch_page)

    def fetch_timed(query: PageQuery) -> ListingPage[tuple[T, datetime]]:
        asked_at = timezone.now()
        page = fetch(query)
        items = tuple((item, asked_at) for item in page.items)
        return ListingPage(items, page.count, page.marker, page.limit)

    rows = walk_windows(
        fetch_timed,
        key=lambda row: key(row[0]),
        in_flight=settings.INVENTORY_IN_FLIGHT,
    )
    return batched(rows, BATCH_SIZE)
