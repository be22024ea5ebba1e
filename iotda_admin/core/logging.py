"""One line an event, for people or for a collector. What is logged cannot break out of its line."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from iotda_admin.core import request_id

# Line ends, terminal commands, and signs that are not seen or turn the direction of the text.
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


def on_one_line(text: str) -> str:
    return CONTROL.sub(
        lambda found: found.group().encode("unicode_escape").decode(), text
    )


def moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(
        timespec="milliseconds"
    )


class Text(logging.Formatter):
    """For people. A traceback keeps its lines, each behind a bar that no record begins with."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        words = [
            moment(record),
            record.levelname,
            record.name,
            request_id.current.get(),
            record.message,
        ]
        return on_one_line(" ".join(filter(None, words)))

    def formatException(self, ei: Any) -> str:
        return behind_bar(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return behind_bar(stack_info)


def behind_bar(text: str) -> str:
    return "\n".join(f"  | {on_one_line(line)}" for line in text.splitlines())


class Json(logging.Formatter):
    """For a collector: an object a line, in plain ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "at": moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            "request_id": request_id.current.get(),
            **getattr(record, "event", {}),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            event["stack"] = record.stack_info
        return json.dumps(
            {name: value for name, value in event.items() if value not in (None, "")}
        )
