"""The formats in which IoTDA writes a time."""

import re
import time
from datetime import UTC, datetime

BASIC = "%Y%m%dT%H%M%SZ"


def format_basic(seconds: float) -> str:
    return time.strftime(BASIC, time.gmtime(seconds))


def format_precise(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(seconds * 1000) % 1000:03}Z"


def parse_basic(text: str) -> float | None:
    if not re.fullmatch(r"[0-9]{8}T[0-9]{6}Z", text):
        return None
    try:
        return datetime.strptime(text, BASIC).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
