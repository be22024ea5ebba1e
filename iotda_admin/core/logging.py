"""Log formatters: one record is one line, and logged text cannot break out of it."""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

# Empty outside a web request: in a worker, on the command line.
request_id: ContextVar[str] = ContextVar("request_id", default="")
# Line ends, terminal commands, and characters that are invisible or change the
# direction of the text.
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


def on_one_line(text: str) -> str:
    return CONTROL.sub(
        lambda found: found.group().encode("unicode_escape").decode(), text
    )


def timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(
        timespec="milliseconds"
    )


class Text(logging.Formatter):
    """Text for people. The lines of a traceback start with a bar; no record does."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        words = [
            timestamp(record),
            record.levelname,
            record.name,
            request_id.get(),
            record.message,
        ]
        return on_one_line(" ".join(filter(None, words)))

    def formatException(self, ei: Any) -> str:
        return with_bars(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return with_bars(stack_info)


def with_bars(text: str) -> str:
    return "\n".join(f"  | {on_one_line(line)}" for line in text.splitlines())


class Json(logging.Formatter):
    """JSON for a log collector: one object per line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "at": timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            "request_id": request_id.get(),
            **getattr(record, "event", {}),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            event["stack"] = record.stack_info
        return json.dumps(
            {name: value for name, value in event.items() if value not in (None, "")}
        )
