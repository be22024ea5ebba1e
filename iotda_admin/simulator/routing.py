"""Routes, each declared at its handler."""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from urllib.parse import unquote

from .server import Request, Response

type Handler[Context] = Callable[[Context, Request], Response]


@dataclass(frozen=True, slots=True)
class Route[Context]:
    pattern: re.Pattern[str]
    handler: Handler[Context]

    @property
    def operation(self) -> str:
        """IoTDA's name of the operation: FreezeDevice for freeze_device."""
        return self.handler.__name__.title().replace("_", "")


class Router[Context]:
    """The routes below a prefix: `@router.route("GET", "/devices/{device_id}")`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._routes: defaultdict[str, list[Route[Context]]] = defaultdict(list)

    def route(
        self, method: str, path: str
    ) -> Callable[[Handler[Context]], Handler[Context]]:
        """Declare the decorated function as the handler of a method and a path."""
        pattern = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.prefix + path))

        def declare(handler: Handler[Context]) -> Handler[Context]:
            self._routes[method].append(Route(pattern, handler))
            return handler

        return declare

    def find(
        self, method: str, raw_path: str
    ) -> tuple[Route[Context] | None, dict[str, str]]:
        """Match the encoded path, because an ID may contain an encoded slash."""
        for route in self._routes[method]:
            if match := route.pattern.fullmatch(raw_path):
                return route, {
                    name: unquote(value) for name, value in match.groupdict().items()
                }
        return None, {}


def load_routes(package: str) -> None:
    """Import every module of a package, so that its handlers declare their routes."""
    for module in iter_modules(import_module(package).__path__, f"{package}."):
        import_module(module.name)
