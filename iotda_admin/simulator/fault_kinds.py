"""The faults by name."""

from .fault_answers import SHAPES
from .fault_http import HTTP
from .fault_wire import WIRE
from .faults import Kind

KINDS: dict[str, Kind] = {**HTTP, **SHAPES, **WIRE}
