"""Text that people type, such as a reason, a ticket or a note, as one visible line."""

import re
import unicodedata

# Letters and signs that look like nothing: fillers of Hangul, and the empty Braille cell.
BLANK_SIGNS = "\u115f\u1160\u3164\uffa0\u2800"
# Scripts and emoji need them between two characters; beside ASCII they only hide.
JOINERS = "\u200c\u200d"
USELESS_JOINERS = re.compile(
    rf"(?<![^\x00-\x7f])[{JOINERS}]+|[{JOINERS}]+(?![^\x00-\x7f])"
)
# What a character of these categories becomes: controls and separators of lines,
# paragraphs and words; invisible format characters; undecodable bytes.
REPLACED = {"Cc": " ", "Zl": " ", "Zp": " ", "Zs": " ", "Cf": "", "Cs": "\ufffd"}


def single_line(text: str) -> str:
    """Return the text as one line without control and invisible characters.

    Return an empty text if nothing is visible.
    """
    line = printable_line(text).strip()
    return line if any(map(is_visible, line)) else ""


def printable_line(text: str) -> str:
    """Return the text with its indentation, but without what breaks or hides a line."""
    if text.isascii() and text.isprintable():
        return text
    text = USELESS_JOINERS.sub("", text.replace("\r\n", "\n"))
    return "".join(map(printable_character, text))


def printable_character(character: str) -> str:
    if character in JOINERS:
        return character
    return REPLACED.get(unicodedata.category(character), character)


def is_visible(character: str) -> bool:
    if character in BLANK_SIGNS:
        return False
    return unicodedata.category(character)[0] in "LNPS"
