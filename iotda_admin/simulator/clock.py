"""IoTDA's three ways to write a time; two of them are answered."""

import re
import time
from datetime import UTC, datetime

BASIC = "%Y%m%dT%H%M%SZ"


def basic(seconds: float) -> str:
    return time.strftime(BASIC, time.gmtime(seconds))


def precise(seconds: float) -> str:
    return (
        datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        + f"{int(seconds * 1000) % 1000:03}Z"
    )


def read_basic(text: str) -> float | None:
    if not re.fullmatch(r"[0-9]{8}T[0-9]{6}Z", text):
        return None
    try:
        return datetime.strptime(text, BASIC).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
