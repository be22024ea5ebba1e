import pytest

from iotda_admin.core.ids import InvalidId, is_id, parse_ids


def test_ids_stand_on_lines_or_between_commas():
    assert parse_ids("a\nb, c;d ,\r\n  e  \n\n").ids == ["a", "b", "c", "d", "e"]


def test_an_id_named_twice_counts_once():
    pasted = parse_ids("a\nb\na, a")
    assert (pasted.ids, pasted.duplicates) == (["a", "b"], 2)


def test_what_is_no_id_is_named_with_its_line():
    assert parse_ids("good\nbad id!, fine\n../x").problems == [
        InvalidId(2, "bad id!"),
        InvalidId(3, "../x"),
    ]


def test_a_blank_does_not_make_two_targets():
    assert parse_ids("pump north").ids == []


def test_the_mark_at_the_begin_of_a_file_is_no_part_of_an_id():
    assert parse_ids("\ufeffa").ids == ["a"]


@pytest.mark.parametrize("value", ["a" * 128, "_", "-", "A-z_0"])
def test_an_id(value):
    assert is_id(value)


@pytest.mark.parametrize(
    "value", ["", "a" * 129, "a\n", "a b", "é", "а", "a.b", "a/b", "a%2Fb", "a\0"]
)
def test_no_id(value):
    assert not is_id(value)
