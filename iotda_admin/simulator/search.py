"""SearchDevices."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any
from zlib import crc32

from pydantic import BaseModel

from .calls import Answer, Call
from .clock import read_precise
from .devices import listed
from .records import LAST, marker
from .sql import Condition, Select, read_sql
from .things import Device
from .world import World


class Search(BaseModel):
    sql: str


READ: dict[str, Callable[[Device], Iterable[Any]]] = {
    "app_id": lambda device: (device.product.space.app_id,),
    "product_id": lambda device: (device.product.product_id,),
    "tag_key": lambda device: [key for key, _ in device.tags],
    "tag_value": lambda device: [value for _, value in device.tags],
    "group_id": lambda device: (),  # there are no groups here
    "create_time": lambda device: (device.created,),
    "marker": lambda device: (device.record,),
}


def search_devices(world: World, call: Call) -> Answer:
    world.searches.take(world.settings.search_rate, 1)
    select = read_sql(call.read(Search).sql)
    found = _found(world, select)
    if select.count:
        return Answer(200, {"count": sum(1 for _ in found)})
    if select.order is None:
        # Without an order the real one promises none: the same rows come differently each time.
        salt = call.entry.request_id
        found = iter(sorted(found, key=lambda device: crc32((salt + device.device_id).encode())))
    rows, shown = islice(found, select.offset, select.offset + select.rows), listed(world, call.now)
    return Answer(200, {"devices": [_row(shown(device), device, select.fields) for device in rows]})


def _found(world: World, select: Select) -> Iterator[Device]:
    items = world.device_records.newest_first(_below(select))
    devices = iter(world.device_records.items) if select.order == "asc" else items
    tests = [[_test(condition) for condition in together] for together in select.either]
    return (d for d in devices if not tests or any(all(test(d) for test in together) for together in tests))


def _below(select: Select) -> int:
    """A walk's own condition: starting there spares it from looking at all it has seen."""
    if len(select.either) != 1:
        return LAST
    bounds = [int(c.values[0], 16) for c in select.either[0] if c.name == "marker" and c.operator == "<"]
    return min(bounds, default=LAST)


def _test(condition: Condition) -> Callable[[Device], bool]:
    name, operator = condition.name, condition.operator
    values = {_value(name, text) for text in condition.values}
    read = READ.get(name) or _read_plain(name)
    one = next(iter(values))
    tests: dict[str, Callable[[Device], bool]] = {
        "=": lambda device: one in read(device),
        "!=": lambda device: one not in read(device),
        "<": lambda device: any(value < one for value in read(device)),
        ">": lambda device: any(value > one for value in read(device)),
        "like": lambda device: any(value.startswith(one[:-1]) for value in read(device)),
        "in": lambda device: not values.isdisjoint(read(device)),
        "not in": lambda device: values.isdisjoint(read(device)),
    }
    return tests[operator]


def _read_plain(name: str) -> Callable[[Device], Iterable[Any]]:
    return lambda device: (getattr(device, name),)


def _value(name: str, text: str) -> Any:
    if name == "marker":
        return int(text, 16)
    return read_precise(text) if name == "create_time" else text


def _row(shown: dict[str, Any], device: Device, fields: tuple[str, ...]) -> dict[str, Any]:
    whole = shown | {"groups": [], "modules": [], "marker": marker(device.record)}
    del whole["description"]
    return {name: whole[name] for name in fields} if fields else whole
