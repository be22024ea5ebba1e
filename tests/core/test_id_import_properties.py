"""Whatever arrives: an answer or a sentence, and never IDs of two columns."""

import codecs
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

from hypothesis import example, given, settings
from hypothesis import strategies as st

from iotda_admin.core.id_import import file_as_text, read_id_file, read_id_text
from iotda_admin.core.ids import IdList, TooManyIds, is_id
from iotda_admin.core.text_files import UnreadableFile
from iotda_admin.core.tidy import tidy
from tests.core.workbooks import workbook

LIMIT = 200
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030"]
# What makes files of lists: pieces that mean something to the reader.
PIECES = st.sampled_from(
    [
        *"\",;\t|，；、'[]{}=> \r\n\0\x1a\ufeff\u200b“”名",
        *("sep=;\n", "device_id", "设备ID", "id", "name", "a1", "b2", "\r\n", '""'),
    ]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join)
DATA = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=100).map(lambda data: b"PK\x03\x04" + data),
    st.builds(
        lambda text, name: text.encode(name, "replace"),
        TEXTS,
        st.sampled_from(ENCODINGS),
    ),
)


def answer(read: Callable[[], IdList]) -> IdList:
    """Return what is read; nothing if it is refused with a sentence."""
    found = IdList()
    with suppress(TooManyIds, UnreadableFile):
        found = read()
    assert all(map(is_id, found.ids))
    return found


@settings(max_examples=300)
@given(DATA)
@example(b"[" * 100_000)
@example(codecs.BOM_UTF16_LE)
@example(b"sep=\n\n")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    answer(lambda: read_id_file(BytesIO(data), limit=LIMIT))
    with suppress(UnreadableFile):
        file_as_text(BytesIO(data), 1000)


@settings(max_examples=300)
@given(TEXTS)
def test_any_text_is_read_or_refused(text: str) -> None:
    answer(lambda: read_id_text(text, limit=LIMIT))


@given(TEXTS)
def test_a_tidy_text_stays_as_it_is(text: str) -> None:
    assert tidy(tidy(text)) == tidy(text)


def cells(column: int) -> st.SearchStrategy[str]:
    """Cells of a column whose IDs say where they are from."""
    ids = st.integers(0, 9).map(lambda number: f"c{column}_{number}")
    return st.one_of(ids, ids, st.sampled_from(["", "Pump 1", "泵"]))


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    width = draw(st.integers(2, 4))
    rows = draw(
        st.lists(st.tuples(*map(cells, range(width))).map(list), min_size=2, max_size=6)
    )
    names = st.sampled_from(["", "gateway_id", "Key", "name", "序列号", "Parent ID"])
    if draw(st.booleans()):
        rows.insert(0, draw(st.lists(names, min_size=width, max_size=width)))
    return rows


def held_by(rows: list[list[str]]) -> set[str]:
    """Return the columns that hold IDs."""
    return {cell[:2] for row in rows for cell in row if cell[2:3] == "_"}


@settings(max_examples=400)
@given(
    tables(),
    st.sampled_from("\t,;|，；、"),
    st.sampled_from(ENCODINGS),
    st.sampled_from(["", '"', "'", "“"]),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
)
def test_a_table_without_a_known_heading_gives_ids_of_one_column(
    rows: list[list[str]], separator: str, encoding: str, quote: str, end: str
) -> None:
    close = "”" if quote == "“" else quote
    text = end.join(
        separator.join(f"{quote}{cell}{close}" for cell in row) for row in rows
    )
    data = text.encode(encoding)
    for read in (
        lambda: read_id_file(BytesIO(data), limit=LIMIT),
        lambda: read_id_text(text, limit=LIMIT),
    ):
        assert not answer(read).ids or len(held_by(rows)) <= 1


@given(tables())
def test_a_sheet_without_a_known_heading_gives_ids_of_one_column(
    rows: list[list[str]],
) -> None:
    data = BytesIO(workbook(rows))
    found = answer(lambda: read_id_file(data, limit=LIMIT))
    assert not found.ids or len(held_by(rows)) <= 1
