"""Removes what people copy together with an ID: quotes, marks, blanks and separators."""

import re

# No ID has any of them: soft hyphen, zero-width and direction marks, a byte order
# mark, and the Ctrl-Z at the end of an old text file.
INVISIBLE = dict.fromkeys(
    [
        *(0x1A, 0xAD, 0x61C, 0x180E, 0xFEFF),
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
    ]
)
BLANKS = dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000])
# Full-width signs, letters and digits, the blanks that are not U+0020, and the hyphens
# of word processors.
ALIKE = (
    {0xFF01 + offset: 0x21 + offset for offset in range(94)}
    | dict.fromkeys(BLANKS, 0x20)
    | dict.fromkeys([0x2010, 0x2011], 0x2D)
)
SEPARATORS = ",;，；、|"
QUOTES = "\"'`´“”„‟‘’‚‛«»‹›「」『』〝〞"
EDGES = f" \t\r\n\v\f{QUOTES}{SEPARATORS}[]"
# Spreadsheets need ="0012" to keep zeros; mails quote lines with "> ".
PLAIN = re.compile(r"[A-Za-z0-9_-]*+")
START = re.compile(rf"(?:[>•{re.escape(EDGES)}]|=(?=[\"']))+")


def strip_invisible(text: str) -> str:
    """Return the text without its invisible characters."""
    return text if text.isascii() and "\x1a" not in text else text.translate(INVISIBLE)


def tidy(text: str) -> str:
    """Return an ID or the text of a search box without what was copied along."""
    if PLAIN.fullmatch(text):
        return text
    text = strip_invisible(text)
    if not text.isascii():
        text = text.translate(ALIKE)
    start = START.match(text)
    return (text[start.end() :] if start else text).rstrip(EDGES)
