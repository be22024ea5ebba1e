"""Devices in an order of the list, in a time that does not depend on how many there are.

Devices with the same node type and status are a range of an index, in the order of
their IDs: of all devices, of a product, or of a resource space. There are about ten such
kinds. So the devices of any combination of filters are a few ranges, and the first
devices of a page are among the first of each. By name there are indexes of their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import batched
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from devices.counts import COLUMNS, count_kept
from devices.models import Device
from iotda_admin.core.search_text import has_words, normalize_text

TABLE = Device._meta.db_table
# Numbers are exact up to this.
COUNT_LIMIT = 10_000
# To count what a search finds of many devices, so many rows are read.
SEARCHED_ROWS = 1_000
# So many are sorted by name; of more, those of an index by name are read until a page is
# full. With a million devices both take about as long for this number.
SORTED_ROWS = 5_000
# SQLite allows 500.
RANGES_A_QUERY = 50
KIND = ("node_type", "status")
# The columns that the list needs.
LISTED = (
    "device_id, name, status, gateway_id, node_type,"
    " product_id, product_name, app_id, app_name"
)

type Conditions = dict[str, str]
type Kinds = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a page begins or ends: a value that the list is sorted by, and an ID."""

    value: str
    device_id: str


@dataclass(frozen=True, slots=True)
class Turn:
    """So many devices beyond an edge, in this direction."""

    edge: Edge | None
    limit: int
    descending: bool

    @property
    def order(self) -> str:
        return "DESC" if self.descending else "ASC"

    @property
    def beyond(self) -> str:
        return "<" if self.descending else ">"


@dataclass(frozen=True, slots=True)
class Number:
    """How many devices there are, or that there are more than this."""

    count: int
    more: bool = False

    def at_least(self, count: int) -> "Number":
        return Number(max(self.count, count), self.more)

    @property
    def few(self) -> bool:
        return not self.more and self.count <= SORTED_ROWS


def distinct(column: str, **equal: str) -> list[str]:
    """Return the values of a column of devices with these values.

    Each is found by one look-up in an index of the columns, in this order.
    """
    sql, values = where(equal)
    first = f"SELECT min({column}) FROM {TABLE} WHERE {sql}"  # noqa: S608
    found = query(
        f"""
        WITH RECURSIVE found(value) AS (
            {first}
            UNION ALL
            SELECT ({first} AND {column} > found.value) FROM found
            WHERE found.value IS NOT NULL
        )
        SELECT value FROM found WHERE value IS NOT NULL
        """,  # noqa: S608
        [*values, *values],
    )
    return [value for (value,) in found]


def device_kinds() -> Kinds:
    """Return the node types and statuses that exist, each found by an index."""
    kinds = query(
        f"""
        WITH RECURSIVE types(node_type) AS (
            SELECT min(node_type) FROM {TABLE}
            UNION ALL
            SELECT (
                SELECT min(node_type) FROM {TABLE} WHERE node_type > types.node_type
            ) FROM types WHERE node_type IS NOT NULL
        ), kinds(node_type, status) AS (
            SELECT node_type, (
                SELECT min(status) FROM {TABLE} WHERE node_type = types.node_type
            ) FROM types WHERE node_type IS NOT NULL
            UNION ALL
            SELECT node_type, (
                SELECT min(status) FROM {TABLE}
                WHERE node_type = kinds.node_type AND status > kinds.status
            ) FROM kinds WHERE status IS NOT NULL
        )
        SELECT node_type, status FROM kinds WHERE status IS NOT NULL
        """  # noqa: S608
    )
    return sorted(map(tuple, kinds))


def values_in_order(column: str, shown: str) -> list[str]:
    """Return the values of a column in the order of what the list shows for them."""
    name = f"SELECT %s, (SELECT {shown} FROM {TABLE} WHERE {column} = %s LIMIT 1)"  # noqa: S608
    names = dict[str, str]()
    for some in batched(distinct(column), RANGES_A_QUERY):
        twice = [value for value in some for _ in range(2)]
        names |= query(" UNION ALL ".join([name] * len(some)), twice)
    return sorted(names, key=lambda v: (normalize_text(names[v] or v), v))


def query(sql: str, values: Sequence[Any] = ()) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


@dataclass(frozen=True)
class Narrowed:
    """The devices with these values, in these resource spaces (None: in all)."""

    values: Mapping[str, str]
    spaces: frozenset[str] | None = None
    # Words that the devices have, besides; many devices have them.
    words: frozenset[str] = frozenset()
    known_kinds: Kinds | None = None

    def rows(self) -> QuerySet[Device]:
        rows = Device.objects.filter(has_words(self.words), **self.values)
        return rows if self.spaces is None else rows.filter(app_id__in=self.spaces)

    def also(self, column: str, value: str) -> "Narrowed":
        values = {**self.values, column: value}
        return replace(self, values=values, known_kinds=self.kinds)

    @cached_property
    def kinds(self) -> Kinds:
        return device_kinds() if self.known_kinds is None else self.known_kinds

    @cached_property
    def groups(self) -> list[Conditions]:
        """Return what precedes the node type and status, or the name, in an index."""
        begin = {k: v for k, v in self.values.items() if k not in (*KIND, "app_id")}
        product, space = begin.get("product_id"), self.values.get("app_id")
        if product is not None:
            # Usually one; a device and its product can be in different ones.
            spaces = distinct("app_id", product_id=product)
        elif space is None and self.spaces is None:
            return [begin]
        else:
            spaces = sorted(self.spaces or ()) if space is None else [space]
        return [
            {**begin, "app_id": each}
            for each in spaces
            if space in (None, each) and (self.spaces is None or each in self.spaces)
        ]

    @cached_property
    def ranges(self) -> list[Conditions]:
        if not self.values and self.spaces is None:
            return [{}]
        chosen = {name: self.values[name] for name in KIND if name in self.values}
        kinds = (dict(zip(KIND, kind, strict=True)) for kind in self.kinds)
        fitting = [kind for kind in kinds if chosen.items() <= kind.items()]
        return [group | kind for group in self.groups for kind in fitting]


def where(conditions: Conditions, words: Iterable[str] = ()) -> tuple[str, list[str]]:
    """Return the SQL of conditions and words, and its parameters."""
    has = "strpos" if connection.vendor == "postgresql" else "instr"
    words = sorted(words)
    parts = [f"{column} = %s" for column in conditions]
    parts += [f"{has}(search_text, %s) > 0"] * len(words)
    return " AND ".join(parts) or "1 = 1", [*conditions.values(), *words]


def count_devices(narrowed: Narrowed) -> Number:
    """Count up to a limit; of a search, those among the first rows that are read."""
    words, found = narrowed.words, 0
    if not words and narrowed.values.keys() <= {*COLUMNS}:
        number = count_kept(narrowed.values, narrowed.spaces)
        return Number(min(number, COUNT_LIMIT), more=number > COUNT_LIMIT)
    left = SEARCHED_ROWS if words else COUNT_LIMIT
    hit, typed = where({}, words)
    # Without a search the index is enough.
    column = "search_text" if words else "1 AS search_text"
    for some in batched(narrowed.ranges, RANGES_A_QUERY):
        parts = [where(conditions) for conditions in some]
        rows = f"SELECT {column} FROM {TABLE} WHERE "  # noqa: S608
        union = " UNION ALL ".join(rows + sql for sql, _values in parts)
        values = [value for _sql, its in parts for value in its]
        ((read, hits),) = query(
            f"SELECT count(*), coalesce(sum(CASE WHEN {hit} THEN 1 ELSE 0 END), 0)"  # noqa: S608
            f" FROM (SELECT * FROM ({union}) AS part LIMIT {left + 1}) AS counted",
            [*typed, *values],
        )
        if read > left:
            # The last one may have been the last that matches.
            return Number(max(found + hits - 1, 0), more=True)
        found, left = found + hits, left - read
    return Number(found)


def first_by_value(places: Iterable[Narrowed], turn: Turn) -> list[Device]:
    """Return the first devices by ID, of the first place first.

    The edge of the turn is in the first place.
    """
    ranges = (
        (place, narrowed, conditions)
        for place, narrowed in enumerate(places)
        for conditions in narrowed.ranges
    )
    found = dict[str, int]()
    for some in batched(ranges, RANGES_A_QUERY):
        if is_full(found, turn.limit, some[0][0]):
            break
        parts, values = [], list[str]()
        for place, narrowed, conditions in some:
            sql, its = where(conditions, narrowed.words)
            if turn.edge and not place:
                sql += f" AND device_id {turn.beyond} %s"
                its += [turn.edge.device_id]
            parts.append(
                f"SELECT * FROM (SELECT {place} AS place, device_id FROM {TABLE} WHERE {sql}"  # noqa: S608
                f" ORDER BY device_id {turn.order} LIMIT {turn.limit}) AS part"
            )
            values += its
        order = f"place, device_id {turn.order}"
        found |= {id: place for place, id in first_of(parts, values, order, turn)}
    devices = read_devices(list(found), f"device_id {turn.order}")
    return sorted(devices, key=lambda device: found[device.pk])[: turn.limit]


def read_devices(ids: Sequence[str], order: str) -> list[Device]:
    """Return these devices with the columns that the list needs, in this order."""
    if not ids:
        return []
    marks = ", ".join(["%s"] * len(ids))
    sql = f"SELECT {LISTED} FROM {TABLE} WHERE device_id IN ({marks}) ORDER BY {order}"  # noqa: S608
    return list(Device.objects.raw(sql, ids))


def is_full(found: Mapping[str, int], limit: int, place: int) -> bool:
    """Return whether so many devices were found in places before this one."""
    return len(found) >= limit and sorted(found.values())[limit - 1] < place


def first_by_name(narrowed: Narrowed, turn: Turn, few: bool) -> list[Device]:
    """Return the first devices by name: few are sorted, of many an index has the order."""
    order = f"name {turn.order}, device_id {turn.order}"
    found = list[str]()
    ranges = narrowed.ranges if few else ranges_by_name(narrowed)
    for some in batched(ranges, RANGES_A_QUERY):
        parts, values = [], list[str]()
        for conditions in some:
            sql, its = where(conditions, narrowed.words)
            if turn.edge:
                sql += f" AND (name, device_id) {turn.beyond} (%s, %s)"
                its += [turn.edge.value, turn.edge.device_id]
            part = f"SELECT name, device_id FROM {TABLE} WHERE {sql}"  # noqa: S608
            first = "" if few else f" ORDER BY {order} LIMIT {turn.limit}"
            parts.append(f"SELECT * FROM ({part}{first}) AS part")  # noqa: S608
            values += its
        # An expression, so that the ranges are not read in the order of the name.
        sorting = order.replace("name", "name || ''") if few else order
        found += [id for _name, id in first_of(parts, values, sorting, turn)]
    return read_devices(found, order)[: turn.limit]


def ranges_by_name(narrowed: Narrowed) -> list[Conditions]:
    """Return the ranges of the indexes by name, with the other conditions.

    On SQLite those are expressions, so that no other index is used, whose rows are
    sorted. PostgreSQL chooses by how many rows have a value, which it does not know of
    an expression.
    """
    apart = "" if connection.vendor == "postgresql" else " || ''"
    kind = {n + apart: narrowed.values[n] for n in KIND if n in narrowed.values}
    return [
        {
            n + apart if n == "app_id" and "product_id" in group else n: value
            for n, value in group.items()
        }
        | kind
        for group in narrowed.groups
    ]


def first_of(
    parts: Sequence[str], values: Sequence[str], order: str, turn: Turn
) -> list[Any]:
    union = " UNION ALL ".join(parts)
    return query(
        f"SELECT * FROM ({union}) AS found ORDER BY {order} LIMIT {turn.limit}",  # noqa: S608
        values,
    )
