"""The page of the list of devices: filtered, searched, sorted, and its number."""

import json
import re
from dataclasses import dataclass, replace
from functools import cached_property

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from devices.forms import FilterForm
from devices.models import Device
from devices.ranges import (
    Edge,
    Narrowed,
    Number,
    Turn,
    count_devices,
    device_kinds,
    first_by_name,
    first_by_value,
    values_in_order,
)
from devices.search import Matches, search_devices
from iotda_admin.core.pagination import Page, turn_page

# What the list can be sorted by: the column, and the one that it shows.
SORTS = {
    "name": ("name", "name"),
    "status": ("status", "status"),
    "product": ("product_id", "product_name"),
    "space": ("app_id", "app_name"),
}
# A name of 256 characters and an ID of 128, some of them escaped.
EDGE_LENGTH = 2500


@dataclass(frozen=True)
class Sort:
    """A column, in one direction or the other; without a column by ID."""

    name: str = ""
    descending: bool = False

    @classmethod
    def of(cls, request: HttpRequest) -> "Sort":
        text = request.GET.get("sort", "")
        name = text.removeprefix("-")
        return cls(name, text.startswith("-")) if name in SORTS else cls()

    def __str__(self) -> str:
        return f"-{self.name}" if self.descending else self.name

    @property
    def column(self) -> str:
        return SORTS[self.name][0] if self.name else "device_id"

    def values(self, chosen: str | None) -> list[str]:
        """Return the values that the list goes through one by one."""
        if self.column == "status":
            known = list(map(str, Device.Status))
            found = {status for _node_type, status in device_kinds()}
            values = [v for v in known if v in found] + sorted(found.difference(known))
        else:
            values = values_in_order(*SORTS[self.name])
        return values if chosen is None else [v for v in values if v == chosen]

    def edge_of(self, device: Device) -> str:
        """Return the text of a device's place in this order, for the URL of a page."""
        if not self.name:
            return device.pk
        return json.dumps([getattr(device, self.column), device.pk], ensure_ascii=False)

    def read_edge(self, text: str) -> Edge | None:
        if not self.name:
            return Edge("", text[:EDGE_LENGTH]) if text and "\0" not in text else None
        try:
            match json.loads(text[:EDGE_LENGTH]):
                case [str(value), str(device_id)] if is_storable(value + device_id):
                    return Edge(value, device_id)
        except ValueError:
            pass
        return None


def is_storable(text: str) -> bool:
    return not re.search("[\0\ud800-\udfff]", text)


@dataclass(frozen=True)
class DeviceList:
    """The devices of a filter in an order."""

    form: FilterForm
    sort: Sort

    @cached_property
    def matches(self) -> Matches | None:
        """Return what the search found, if there is one."""
        text = self.form.query
        return search_devices(self.narrowed.rows(), text) if text else None

    @cached_property
    def narrowed(self) -> Narrowed:
        return self.form.narrowed()

    @cached_property
    def many(self) -> Narrowed:
        """Return the devices if they are read in their order, with the words sought."""
        words = self.matches.words if self.matches else frozenset()
        return replace(self.narrowed, words=words)

    @property
    def few(self) -> QuerySet[Device] | None:
        """Return the devices if the search found so few that they are sorted."""
        return self.matches.rows if self.matches and self.matches.few else None

    @cached_property
    def number(self) -> Number:
        if self.few is not None:
            return Number(self.few.order_by().count())
        return count_devices(self.many)

    def page(self, request: HttpRequest) -> Page[Device]:
        return turn_page(request, self.fetch, self.sort.edge_of, self.sort.read_edge)

    def fetch(self, edge: Edge | None, backwards: bool, limit: int) -> list[Device]:
        turn = Turn(edge, limit, self.sort.descending != backwards)
        if self.sort.name in ("", "name") and self.few is not None:
            return first_of_few(self.few, self.sort.column, turn)
        if self.sort.name == "name":
            few = self.number.few and not self.many.words
            return first_by_name(self.many, turn, few)
        if not self.sort.name:
            return first_by_value([self.many], turn)
        return self.fetch_by_value(turn)

    def fetch_by_value(self, turn: Turn) -> list[Device]:
        column = self.sort.column
        values = self.sort.values(self.narrowed.values.get(column))
        if turn.descending:
            values.reverse()
        if turn.edge:
            if turn.edge.value not in values:
                return []
            values = values[values.index(turn.edge.value) :]
        if self.few is not None:
            return few_by_value(self.few, column, values, turn)
        return first_by_value((self.many.also(column, v) for v in values), turn)


def first_of_few(rows: QuerySet[Device], column: str, turn: Turn) -> list[Device]:
    """Sort few devices by name or ID, and return the first."""
    beyond = "lt" if turn.descending else "gt"
    if turn.edge:
        after = Q((f"pk__{beyond}", turn.edge.device_id))
        if column == "name":
            later = Q((f"name__{beyond}", turn.edge.value))
            after = later | Q(name=turn.edge.value) & after
        rows = rows.filter(after)
    ordered = rows.order_by(*dict.fromkeys([column, "device_id"]))
    return list((ordered.reverse() if turn.descending else ordered)[: turn.limit])


def few_by_value(
    rows: QuerySet[Device], column: str, values: list[str], turn: Turn
) -> list[Device]:
    """Sort few devices by the place of their value, then by ID, and return the first."""
    if turn.edge:
        beyond = "lt" if turn.descending else "gt"
        past = Q((f"pk__{beyond}", turn.edge.device_id))
        rows = rows.filter(~Q((column, turn.edge.value)) | past)
    ordered = rows.order_by("-pk" if turn.descending else "pk")
    place = {value: at for at, value in enumerate(values)}
    pairs = [pair for pair in ordered.values_list(column, "pk") if pair[0] in place]
    pairs.sort(key=lambda pair: place[pair[0]])
    pks = [pk for _value, pk in pairs[: turn.limit]]
    devices = Device.objects.in_bulk(pks)
    return [devices[pk] for pk in pks if pk in devices]
