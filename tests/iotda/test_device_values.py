"""The quick form of a listed device equals the thorough one."""

from operator import attrgetter
from typing import Any

import pytest

from iotda_admin.iotda import LISTED_TEXTS
from iotda_admin.iotda.devices import device_from_json, device_values
from iotda_admin.iotda.documents import Malformed

USUAL = {key: f"the {key}" for key in LISTED_TEXTS}
ODD: list[dict[str, Any]] = [
    {},
    {"tags": [{"tag_key": "site", "tag_value": "south"}, {"tag_key": "empty"}]},
    {"tags": ["odd", {"tag_key": None, "tag_value": 5}, [1]]},
    {"tags": "odd"},
    {"tags": {}},
    {"node_id": None},
    {"node_id": 5, "description": ["a", {"b": None}]},
    {"description": "two\nlines \0 \ud800", "app_name": True},
    {"status": ""},
    {"status": 0},
    {"status": None},
    {"device_id": ""},
    {"device_id": None},
    {"device_id": 5},
    {"device_id": "a\0b"},
    {"device_id": "a\nb"},
    {"create_time": 5, "unknown": {}},
]


@pytest.mark.parametrize("odd", ODD)
def test_the_values_of_a_device_are_those_of_its_object(odd: dict[str, Any]) -> None:
    document = USUAL | odd
    try:
        device = device_from_json(document)
    except Malformed as error:
        with pytest.raises(Malformed, match=str(error)):
            device_values(document)
        return
    tags = [[tag.tag_key, tag.tag_value] for tag in device.tags]
    assert device_values(document) == (*attrgetter(*LISTED_TEXTS)(device), tags)


@pytest.mark.parametrize("missing", LISTED_TEXTS)
def test_a_missing_text_is_empty_unless_it_is_required(missing: str) -> None:
    document = {key: value for key, value in USUAL.items() if key != missing}
    if missing in ("device_id", "status"):
        with pytest.raises(Malformed, match=missing):
            device_values(document)
    else:
        assert device_values(document)[LISTED_TEXTS.index(missing)] == ""
