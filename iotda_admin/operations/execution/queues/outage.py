import logging
import threading

log = logging.getLogger(__name__)


class Outage:
    """Tells once that something cannot be reached, however many meet it, and once that it is back."""

    def __init__(self, what: str, meanwhile: str) -> None:
        self.what, self.meanwhile = what, meanwhile
        self.lock, self.lasts = threading.Lock(), False

    def begin(self, error: Exception) -> None:
        if self.turn(True):
            log.warning(
                "%s cannot be reached (%s): %s", self.what, error, self.meanwhile
            )

    def over(self) -> None:
        if self.lasts and self.turn(False):
            log.warning("%s can be reached again", self.what)

    def turn(self, lasts: bool) -> bool:
        with self.lock:
            turned, self.lasts = self.lasts != lasts, lasts
        return turned
