"""Listings of IoTDA, and the tables that mirror them."""

import json
import logging
from collections import defaultdict, namedtuple
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from datetime import datetime
from functools import cache
from itertools import batched
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

from django.db import OperationalError, connection
from django.db.models import Model, QuerySet
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules

from iotda_admin.core.bulk_sql import (
    among,
    insert_rows,
    set_of_rows,
    update_changed_rows,
    upsert_rows,
    values_of_rows,
)
from iotda_admin.core.database import is_deadlock
from iotda_admin.core.search_text import SearchTextField, search_text_fields
from iotda_admin.inventory.drift import Drift, record_drift
from iotda_admin.inventory.listings import BATCH_SIZE
from iotda_admin.inventory.models import MirrorState, RemovedRow
from iotda_admin.iotda import Client
from iotda_admin.operations.audit_log import audited_transaction
from iotda_admin.operations.models import Operation

log = logging.getLogger(__name__)

# The end of a text that was cut. No ID has it, so a cut text is never taken for an ID.
CUT = "…"
# IoTDA is asked for so many of the rows that a listing left out before the next ones.
ASKED_AT_ONCE = 200
READ_AT = attrgetter("read_at")

type Key = tuple[Any, ...]


class Change(NamedTuple):
    """A row as IoTDA has it now, and as it was stored; None where it did not exist."""

    after: Any
    before: Any


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
    # The fields that show a drift, as new and missing rows do; None: nothing is a drift.
    compared: Sequence[str] | None = None

    # The key and the fields, and a row of their values with `read_at`: it is lighter
    # than a model, and most rows are only compared. A stored row has its primary key, too.
    names: ClassVar[Sequence[str]]
    row: ClassVar[Any]
    stored_row: ClassVar[Any]
    get_key: ClassVar["attrgetter[Any]"]
    get_values: ClassVar["attrgetter[Any]"]

    def __init_subclass__(cls) -> None:
        cls.names = [*cls.key, *cls.fields]
        names = [*cls.names, "read_at"]
        cls.row = namedtuple("row", names)  # type: ignore[misc]
        cls.stored_row = namedtuple("stored_row", [*names, "pk"])  # type: ignore[misc]
        cls.get_key, cls.get_values = attrgetter(*cls.key), attrgetter(*cls.names)

    def __init__(self) -> None:
        # The hashes of the rows that this sync could not store.
        self.skipped = set[int]()
        # How many rows were inserted or updated because they differ, and deleted.
        self.changed = self.gone = 0

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def queryset(self) -> QuerySet[Any]:
        return self.model._default_manager.all()

    def pages(self, client: Client) -> Iterator[list[Any]]:
        """Yield the whole listing: each row as `row` or as an unsaved model."""
        raise NotImplementedError

    def refresh(self, client: Client, progress: Callable[[int], None]) -> None:
        """Store the whole listing, and delete the rows that IoTDA no longer has."""
        started = timezone.now()
        self.skipped.clear()
        self.changed = self.gone = 0
        client = client.skipping(self.skip)
        for rows in self.pages(client):
            self.store(rows)
            progress(len(rows))
        self.delete_missing(client, started, progress)

    def delete_missing(
        self, client: Client, started: datetime, progress: Callable[[int], None]
    ) -> None:
        """Delete rows that the listing left out, and that IoTDA says it does not have.

        No listing is proof: rows come and go while it is read, and its count can be
        wrong. A listing that leaves out rows which exist is not trusted any further.
        """
        left_out = self.queryset.filter(read_at__lt=started)
        while rows := list(left_out.order_by("read_at", "pk")[:ASKED_AT_ONCE]):
            asked_at = timezone.now()
            found = self.find(client, rows)
            self.store(found)
            there = {self.key_of(row) for row in found}
            gone = {self.key_of(row) for row in rows} - there
            self.delete_gone(gone, started, asked_at)
            progress(0)
            if there:
                return

    def skip(self, problem: str, row: Any) -> None:
        """Count a row that cannot be stored, and log it once."""
        text = json.dumps(row, ensure_ascii=False, default=str)
        if hash(text) not in self.skipped:
            self.skipped.add(hash(text))
            log.warning("skipped a row of %s: %s: %.500s", self.table, problem, text)

    def storable(self, rows: Iterable[Any]) -> dict[Key, Any]:
        """Return the rows whose key fits, with values that fit.

        Skip the other rows: a cut key is another.
        """
        kept = {}
        for row in rows:
            key, clipped = self.key_of(row), clip_values(row, length_limits(self.model))
            if self.key_of(clipped) == key:
                kept[key] = clipped
            else:
                self.skip("the ID is too long", key)
        return kept

    def find(self, client: Client, rows: Sequence[Any]) -> list[Any]:
        """Return those of the rows that IoTDA still has, as it has them now.

        A row is returned as it is if the answer about it cannot be used.
        """
        keys = {self.key_of(row) for row in rows}
        listed = (row for page in self.pages(client) for row in page)
        return list(
            {key: row for row in listed if (key := self.key_of(row)) in keys}.values()
        )

    def drifts(self, changes: Sequence[Change]) -> list[Drift]:
        """Return which of these changes are to be recorded, in words for the trail."""
        return []

    def store(self, rows: Iterable[Any], *, not_by: Operation | None = None) -> None:
        """Insert or update rows, except those that are known from a later time.

        Record what changed without an operation of ours. `not_by` is an operation that
        had changed nothing yet when the rows were read.
        """
        ordered = sorted(rows, key=READ_AT)
        latest = {self.key_of(row): self.as_row(row) for row in ordered}
        # In a fixed order: two transactions must not wait for each other.
        for batch in batched(sorted(latest.items()), BATCH_SIZE):
            if self.compared is None:
                self.upsert(self.storable(dict(batch).values()).values(), self.fields)
                continue
            try:
                self.store_compared(dict(batch), not_by)
            except OperationalError as error:
                if connection.in_atomic_block or not is_deadlock(error):
                    raise
                # With a worker that writes the results of several operations.
                self.store_compared(dict(batch), not_by)

    def store_compared(self, rows: Mapping[Key, Any], not_by: Operation | None) -> None:
        with audited_transaction():
            stored = self.lock(rows)
            if changed := self.confirm(rows, stored):
                self.store_changed(self.storable(changed), stored, not_by)

    def confirm(self, rows: Mapping[Key, Any], stored: Mapping[Key, Any]) -> list[Any]:
        """Move `read_at` of locked rows that are as they were; return the others."""
        changed, confirmed = [], defaultdict[datetime, list[Any]](list)
        width = len(self.names)
        for key, row in rows.items():
            before = stored.get(key)
            if before is None or before[:width] != row[:width]:
                changed.append(row)
            elif before.read_at < row.read_at:
                confirmed[row.read_at].append(before.pk)
        set_of_rows(self.model, "read_at", confirmed)
        return changed

    def store_changed(
        self,
        rows: Mapping[Key, Any],
        stored: Mapping[Key, Any],
        not_by: Operation | None,
    ) -> None:
        """Insert rows, or update the stored ones, which are locked; record changes."""
        new = self.without_removed(
            {key: row for key, row in rows.items() if key not in stored}
        )
        inserted = self.upsert(new.values())
        changes = [
            Change(row, stored.get(key))
            for key, row in rows.items()
            if key in inserted or (key in stored and stored[key].read_at <= row.read_at)
        ]
        self.update([change for change in changes if change.before])
        self.changed += len(changes)
        self.record_changes(changes, not_by)
        # Another transaction was faster: compare with what it has inserted.
        if late := {key: new[key] for key in new.keys() - inserted}:
            self.store_compared(late, not_by)

    def upsert(self, rows: Collection[Any], update: Sequence[str] = ()) -> set[Key]:
        """Insert rows, or update these fields of those that exist and are not newer.

        Return the keys of the rows that were written.
        """
        if not rows:
            return set()
        fields = search_text_fields(self.model)
        derived = ["read_at", *(field.name for field in fields)]
        values = [
            (*row, *(self.search_text(field, row) for field in fields)) for row in rows
        ]
        written = [*update, *derived] if update else []
        return upsert_rows(
            self.model, [*self.names, *derived], values, self.key, written
        )

    def update(self, changes: Iterable[Change]) -> None:
        """Write the columns that changed: an index of another one stays as it is."""
        groups = defaultdict(list)
        for after, before in changes:
            pairs = zip(self.row._fields, after, before, strict=False)
            groups[tuple(name for name, new, old in pairs if new != old)].append(
                (after, before.pk)
            )
        groups.pop((), None)  # after values were cut, they are as they were
        for names, rows in groups.items():
            texts = [
                field
                for field in search_text_fields(self.model)
                if not set(names).isdisjoint(field.sources)
            ]
            values = [
                (
                    *(getattr(row, name) for name in names),
                    *(self.search_text(field, row) for field in texts),
                    pk,
                )
                for row, pk in rows
            ]
            written = [*names, *(field.name for field in texts)]
            update_changed_rows(self.model, written, values)

    def search_text(self, field: SearchTextField, row: Any) -> str:
        key = self.key[0]
        sources = [key if name == "pk" else name for name in field.sources]
        return field.text_of([getattr(row, name) for name in sources])

    def is_changed(self, change: Change) -> bool:
        after, before = change
        return not (after and before) or any(
            getattr(after, name) != getattr(before, name)
            for name in self.compared or ()
        )

    def lock(self, keys: Collection[Key]) -> dict[Key, Any]:
        """Lock the rows with these keys in their order; return their values by key."""
        if not keys:
            return {}
        parts = zip(self.key, zip(*keys, strict=True), strict=True)
        named = [among(name, set(values)) for name, values in parts]
        found = self.queryset.filter(*named).order_by(*self.key).select_for_update()
        values = values_of_rows(found, [*self.names, "read_at", "pk"])
        rows = map(self.stored_row._make, values)
        return {key: row for row in rows if (key := self.key_of(row)) in keys}

    def without_removed(self, rows: Mapping[Key, Any]) -> Mapping[Key, Any]:
        """Leave out rows that an operation has removed since they were read."""
        if not rows:
            return {}
        keys = among("key", map(json.dumps, rows))
        found = RemovedRow.objects.filter(keys, table=self.table)
        removed = {
            tuple(json.loads(key)): at
            for key, at in found.order_by("removed_at").values_list("key", "removed_at")
        }
        return {
            key: row
            for key, row in rows.items()
            if key not in removed or removed[key] < row.read_at
        }

    def delete_gone(
        self, keys: Collection[Key], started: datetime, read_at: datetime
    ) -> None:
        """Delete rows that IoTDA does not have, by a read at that time.

        Not those that were read again since `started`.
        """
        if not keys:
            return
        with audited_transaction():
            stored = self.lock(keys)
            gone = [row for row in stored.values() if row.read_at < started]
            self.queryset.filter(among("pk", [row.pk for row in gone])).delete()
            self.record_changes([Change(None, row) for row in gone], None, read_at)
            self.gone += len(gone)

    def record_changes(
        self,
        changes: Sequence[Change],
        not_by: Operation | None,
        read_at: datetime | None = None,
    ) -> None:
        changes = list(filter(self.is_changed, changes))
        # What the first sync finds is no change.
        synced = MirrorState.objects.filter(table=self.table).exclude(fresh_at=None)
        if changes and synced.exists():
            at = read_at or min(change.after.read_at for change in changes)
            record_drift(self.drifts(changes), at, not_by)

    def remove(self, keys: Collection[Key]) -> None:
        """Delete rows that an operation has removed from IoTDA.

        A read that was requested before, by a sync or a page, does not store them again.
        """
        template = RemovedRow(table=self.table)
        insert_rows(template, ["key"], [(json.dumps(key),) for key in sorted(keys)])
        pks = [row.pk for row in self.lock(keys).values()]
        self.queryset.filter(among("pk", pks)).delete()

    def as_row(self, row: Any) -> Any:
        if isinstance(row, tuple):
            return row
        return self.row(*self.get_values(row), row.read_at)

    def key_of(self, row: Any) -> Key:
        key = self.get_key(row)
        return key if len(self.key) > 1 else (key,)


def clip_values(row: Any, limits: Mapping[str, int]) -> Any:
    """Cut values longer than documented: one of them must not stop a sync."""
    long = {
        name: value
        for name, value in zip(row._fields, row, strict=True)
        if name in limits and len(value) > limits[name]
    }
    cut = {name: value[: limits[name] - len(CUT)] + CUT for name, value in long.items()}
    return row._replace(**cut) if cut else row


@cache
def length_limits(model: type[Model]) -> dict[str, int]:
    limits = ((f.attname, getattr(f, "max_length", None)) for f in model._meta.fields)
    return {name: limit for name, limit in limits if limit}


@cache
def mirrors() -> list[Mirror]:
    """Return the mirrors in the modules `sync` of all apps, in their order."""
    autodiscover_modules("sync")
    return [cls() for cls in sorted(Mirror.__subclasses__(), key=lambda c: c.order)]
