import pytest

from iotda_admin.core.ids import is_id


@pytest.mark.parametrize("value", ["a" * 128, "_", "-", "A-z_0"])
def test_valid_ids(value: str) -> None:
    assert is_id(value)


@pytest.mark.parametrize(
    "value", ["", "a" * 129, "a\n", "a b", "é", "а", "a.b", "a/b", "a%2Fb", "a\0"]
)
def test_invalid_ids(value: str) -> None:
    assert not is_id(value)
