import pytest

from iotda_admin.core.ids import InvalidId, is_id, parse_ids


def test_lines_and_commas_separate_ids() -> None:
    assert parse_ids("a\nb, c;d ,\r\n  e  \n\n").ids == ["a", "b", "c", "d", "e"]


def test_duplicates_are_counted_once() -> None:
    pasted = parse_ids("a\nb\na, a")
    assert (pasted.ids, pasted.duplicates) == (["a", "b"], 2)


def test_invalid_ids_are_reported_with_their_lines() -> None:
    assert parse_ids("good\nbad id!, fine\n../x").problems == [
        InvalidId(2, "bad id!"),
        InvalidId(3, "../x"),
    ]


def test_a_blank_does_not_separate_ids() -> None:
    assert parse_ids("pump north").ids == []


def test_a_byte_order_mark_is_not_part_of_an_id() -> None:
    assert parse_ids("\ufeffa").ids == ["a"]


@pytest.mark.parametrize("value", ["a" * 128, "_", "-", "A-z_0"])
def test_valid_ids(value: str) -> None:
    assert is_id(value)


@pytest.mark.parametrize(
    "value", ["", "a" * 129, "a\n", "a b", "é", "а", "a.b", "a/b", "a%2Fb", "a\0"]
)
def test_invalid_ids(value: str) -> None:
    assert not is_id(value)
