"""Uploaded files: which ids are read, and which files are rejected."""

import json
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from iotda_admin.core.id_columns import ColumnNeeded
from iotda_admin.core.id_import import read_id_file, read_id_text
from iotda_admin.core.ids import InvalidId, TooManyIds
from iotda_admin.core.text_files import UnreadableFile

GOOD = {
    "plain": b"a\nb\n",
    "crlf": b"a\r\nb\r\n",
    "old mac": b"a\rb\r",
    "blank lines": b"\n\n a \n\n\nb",
    "bom": b"\xef\xbb\xbfa\nb",
    "utf-16": "a\nb".encode("utf-16"),
    "utf-16 be with a header": b"\xfe\xff"
    + "Device ID;Name\na;x\nb;y".encode("utf-16-be"),
    "a column by name": b"name,device_id\npump,a\nfan,b\n",
    "the kind before others": b"id,device_id\n1,a\n2,b\n",
    "no header": b"a,pump 1\nb,pump 2\n",
    "semicolons": b"id;name\na;pump, north\nb;fan\n",
    "tabs": b"target_id\tname\na\tpump\nb\tfan\n",
    "quotes": b'"id","name"\r\n"a","pump, ""north"""\r\n"b","two\nlines"\r\n',
    "empty rows of a sheet": b"device_id,name\na,\nb,\n,\n,\n",
    "another encoding": "id,name\na,Gerät\nb,Pumpe\n".encode("latin-1"),
    "chinese": "设备名,device_id\n水泵,a\n风扇,b\n".encode("gb18030"),
    "named twice": b"a\nb\na\n",
    "all in one row": b"a, b,\n",
}
BAD = {
    "excel": (b"PK\x03\x04" + b"\0" * 50, "Excel file is damaged"),
    "binary": (b"\x7fELF\0\0\1", "not a text file"),
    "an old excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "not a text file"),
    "a quote never closed": (b'a\n"b\nc\n', "Unbalanced quotes from line 2"),
    "a very long cell": (
        b'a\n"' + b"many words\n" * 15_000,
        "Unbalanced quotes from line 2",
    ),
    "a million columns": (b"a," * 1_000_000, "Line 1 is too long"),
    "very many blank lines": (b"\n" * 200_001, "more than 200000 lines"),
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_it_reads_the_ids(data: Any) -> None:
    found = read_id_file(BytesIO(data), limit=1000)
    assert (found.ids, found.wrong) == (["a", "b"], 0)


@pytest.mark.parametrize(("data", "says"), BAD.values(), ids=BAD)
def test_an_unreadable_file_is_rejected_with_the_reason(data: Any, says: Any) -> None:
    with pytest.raises(UnreadableFile, match=says):
        read_id_file(BytesIO(data), limit=20_000)


def test_the_column_depends_on_the_kind_of_target() -> None:
    data = b"device_id,product_id\nd,p\n"
    assert read_id_file(BytesIO(data), limit=9, kind="product").ids == ["p"]


def test_an_invalid_id_is_reported_with_its_line() -> None:
    data = b'device_id,name\n"a","two\nlines"\n"b c",x\n,y\n'
    problems = read_id_file(BytesIO(data), limit=9).problems
    assert problems == [InvalidId(4, "b c"), InvalidId(5, "")]


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        (b"device_id\na,b\nc,\n", ["c"]),
        (b"c\na b\n", ["c"]),
    ],
)
def test_a_cell_without_a_column_is_reported(data: bytes, ids: list[Any]) -> None:
    found = read_id_file(BytesIO(data), limit=9)
    assert (found.ids, found.wrong) == (ids, 1)


def test_duplicates_are_counted() -> None:
    assert read_id_file(BytesIO(b"a\nb\na\na\n"), limit=9).duplicates == 2


@pytest.mark.parametrize(
    "how",
    [
        lambda n: read_id_text("a,b,c", limit=n),
        lambda n: read_id_file(BytesIO(b"a\nb\nc"), limit=n),
    ],
)
def test_more_ids_than_the_limit_are_rejected(how: Callable[..., Any]) -> None:
    assert how(3).ids == ["a", "b", "c"]
    with pytest.raises(TooManyIds):
        how(2)


def test_a_pasted_table_is_read_like_a_file() -> None:
    assert read_id_text("name,device_id\r\npump,a\r\n", limit=9).ids == ["a"]


def test_text_without_a_header_is_a_list_of_ids() -> None:
    assert read_id_text("a, b;c、d", limit=9).ids == ["a", "b", "c", "d"]


@pytest.mark.parametrize("text", ["," * 3_000_000, "\n" * 3_000_000, "é," * 1_000_000])
def test_invalid_text_takes_little_memory(text: str) -> None:
    tracemalloc.start()
    with pytest.raises(UnreadableFile):
        read_id_text(text, limit=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_large_file_is_not_held_in_memory() -> None:
    data = BytesIO(
        b"device_id,name\n"
        + b"".join(b"device_%06d,%s\n" % (n, b"x" * 200) for n in range(20_000))
    )
    tracemalloc.start()
    found = read_id_file(data, limit=20_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.ids) == 20_000
    assert peak < 200 * 20_000


def test_json_with_a_name_for_each_row_is_refused() -> None:
    rows = [{f"name{n}": n} for n in range(3000)]
    with pytest.raises(UnreadableFile, match="too many different names"):
        read_id_text(json.dumps(rows), limit=1000)


def test_a_text_with_too_many_cells_is_refused_with_what_to_do() -> None:
    wide = b"device_id\n" + b"a1" + b"," * 248 + b"\n"
    assert read_id_file(BytesIO(wide + wide), limit=10).ids == ["a1"]
    with pytest.raises(UnreadableFile, match="more than 500 cells"):
        read_id_file(BytesIO(wide * 3), limit=10)


def test_half_a_character_in_json_is_shown_escaped() -> None:
    with pytest.raises(ColumnNeeded, match="ud800") as needed:
        read_id_text('[["\\ud800","a1","b2"],["x","a3","b4"]]', limit=1000)
    assert str(needed.value).encode()
