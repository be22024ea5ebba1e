"""Read settings from a file of lines NAME=value, such as `.env`."""

import os
import re
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

# A value ends before a comment; `#` within a word is part of it, as in many passwords.
LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*
    (?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<plain>[^"'\s#]\S*(?:\s+[^\s#]\S*)*)?)
    (?:\s+\#.*|\s*)""",
    re.VERBOSE,
)
SECOND_SETTING = re.compile(r"\s[A-Z][A-Z0-9_]+=")


def read_dotenv(path: Path) -> None:
    """Set what the file defines and the environment does not.

    No message quotes the file: a line can hold a secret.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "it is not UTF-8 text")
        raise ImproperlyConfigured(f"{path.name}: cannot read it ({reason}).") from None
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, value = parse_line(line, f"{path.name}, line {number}")
            os.environ.setdefault(name, value)


def parse_line(line: str, place: str) -> tuple[str, str]:
    found = LINE.fullmatch(line)
    if not found:
        raise ImproperlyConfigured(
            f"{place}: must be NAME=value. Quote a value that contains quotes."
        )
    if found["plain"] and SECOND_SETTING.search(found["plain"]):
        raise ImproperlyConfigured(f"{place}: put each setting on a line of its own.")
    double = re.sub(r"\\(.)", r"\1", found["double"] or "")
    return found["name"], double or found["single"] or found["plain"] or ""
