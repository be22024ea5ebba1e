"""The control port's routes, and its errors."""

from typing import NoReturn

from ..app import Simulator
from ..routing import Router

control: Router[Simulator] = Router("/_sim")


class ControlError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def not_found(what: str) -> NoReturn:
    raise ControlError(404, f"There is no such {what}.")
