"""What people type becomes one visible line."""

import pytest

from iotda_admin.core.free_text import printable_line, single_line

CASES = [
    ("  contract ended  ", "contract ended", "blanks around it"),
    ("unpaid\r\nTicket: INC-9", "unpaid Ticket: INC-9", "CR LF"),
    ("a\nb\rc\x0bd\x0ce\x85f\u2028g\u2029h", "a b c d e f g h", "other line breaks"),
    ("a\tb\u00a0c\u3000d", "a b c d", "other blanks"),
    ("red\x1b[31m\x07\x9b", "red [31m", "controls of a terminal"),
    ("a\0b\x1a", "a b", "NUL and Ctrl-Z"),
    ("\u2066INC-9\u2069\u200b\ufeff", "INC-9", "invisible characters"),
    ("INC\u200d-\u200c9\u00ad", "INC-9", "joiners and soft hyphens beside ASCII"),
    ("\u202etxt.exe", "txt.exe", "characters that turn the line round"),
    ("می\u200cخواهم", "می\u200cخواهم", "a joiner that a script needs"),
    ("👩\u200d🔧 ❤\ufe0f", "👩\u200d🔧 ❤\ufe0f", "emoji"),
    ("\udcff", "\ufffd", "a byte that is no text"),
    ("\u200b\u200d\u2060", "", "zero-width characters only"),
    ("\u3164\u115f\u2800\uffa0", "", "fillers only"),
    ("\u0301\ufe0f", "", "marks of no letter"),
    ("\U000e0041\u061c\u180e", "", "tags and direction marks only"),
    ("\r\n \t", "", "blanks only"),
    ("已解除合同，Überweisung", "已解除合同，Überweisung", "other scripts"),
    ("🙂", "🙂", "a sign"),
]


@pytest.mark.parametrize(
    ("typed", "line"), [case[:2] for case in CASES], ids=[case[2] for case in CASES]
)
def test_text_becomes_one_visible_line(typed: str, line: str) -> None:
    assert single_line(typed) == line
    assert single_line(line) == line


def test_the_indentation_of_a_line_is_kept() -> None:
    assert printable_line("  “a\r\nb”") == "  “a b”"
