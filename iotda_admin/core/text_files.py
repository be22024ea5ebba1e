"""Text files as they come from editors and spreadsheets all over the world."""

import codecs
from io import TextIOWrapper
from typing import IO

from django.utils.translation import gettext as _

MARKS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
OLD_EXCEL = b"\xd0\xcf\x11\xe0"
PIECE = 65_536


class UnreadableFile(Exception):
    """The file cannot be read; the message says why."""


def open_text(file: IO[bytes]) -> TextIOWrapper:
    """Decode a file of any usual encoding. Raise UnreadableFile for a binary one."""
    return TextIOWrapper(file, encoding_of(file), errors="backslashreplace", newline="")


def encoding_of(file: IO[bytes]) -> str:
    head = file.read(4096)
    file.seek(0)
    if head.startswith(OLD_EXCEL):
        raise UnreadableFile(
            _(
                "This is an old or a protected Excel file, not a text file. Save it as"
                " .xlsx without a password, or as CSV."
            )
        )
    for mark, name in MARKS:
        if head.startswith(mark):
            return name
    if b"\0" in head:
        # ASCII as UTF-16: every other byte is zero.
        little = head[1::2].count(0) > head[::2].count(0)
        name = "utf-16-le" if little else "utf-16-be"
        if decodes(file, name):
            return name
        raise UnreadableFile(
            _(
                "This is not a text file. Upload CSV, .xlsx, or plain text with one ID"
                " a line."
            )
        )
    # Western text is rarely valid UTF-8 or GB18030.
    fitting = (name for name in ("utf-8", "gb18030") if decodes(file, name))
    return next(fitting, "cp1252")


def decodes(file: IO[bytes], encoding: str) -> bool:
    """Return whether the file is text of this encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while piece := file.read(PIECE):
            if "\0" in decoder.decode(piece) and encoding.startswith("utf-16"):
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    finally:
        file.seek(0)
    return True
