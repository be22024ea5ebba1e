"""Properties that hold for any input."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iotda_admin.simulator.api.paging import Window
from iotda_admin.simulator.state.records import LAST, RecordList, marker
from tests.simulator.conftest import Sim

from .signing import sign

SHARED_SIMULATOR: dict[str, Any] = {
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
}


@dataclass
class Item:
    record_id: int


@given(st.sets(st.integers(0, 200)), st.sets(st.integers(0, 200)))
def test_records_stay_in_order(added: Any, removed: Any) -> None:
    records = RecordList[Item]()
    for number in added:
        records.add(Item(number))
    for number in added & removed:
        records.remove(Item(number))
    assert [item.record_id for item in records.items] == sorted(added - removed)


@given(
    st.sets(st.integers(0, 200)),
    st.integers(1, 50),
    st.integers(0, 60),
    st.one_of(st.just(LAST), st.integers(0, 220)),
)
def test_a_window_contains_the_requested_records(
    numbers: Any, limit: int, offset: int, below: Any
) -> None:
    records = RecordList([Item(number) for number in sorted(numbers)])
    found = [item.record_id for item in records.window(below, offset, limit)]
    newest_first = sorted(
        (number for number in numbers if number < below), reverse=True
    )
    assert found == newest_first[offset : offset + limit]


@given(st.integers(0, LAST), st.integers(1, 50), st.integers(0, 500))
def test_a_window_is_read_from_text(record: int, limit: int, offset: int) -> None:
    given_as_text = {
        "limit": str(limit),
        "offset": str(offset),
        "marker": marker(record),
    }
    assert Window.read(given_as_text) == Window(limit, offset, record)


@given(
    query=st.dictionaries(
        st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=3
    ),
    name=st.text(min_size=1, max_size=10),
    derived=st.booleans(),
)
@settings(max_examples=60, **SHARED_SIMULATOR)
def test_signatures_of_the_vendors_sdk_are_valid(
    sim: Sim, query: Any, name: str, derived: bool
) -> None:
    # HTTP clients remove "." and ".." from a path.
    path = f"{sim.root}/devices/{quote(name.replace('.', '_'), safe='')}"
    url = f"{sim.api}{path}?{urlencode(query, quote_via=quote, safe='~')}"
    algorithm = "V11-HMAC-SHA256" if derived else "SDK-HMAC-SHA256"
    answer = requests.get(url, headers=sign("GET", url, algorithm=algorithm), timeout=5)
    assert answer.status_code in (400, 404)  # the signature is valid; the ID is not


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "target_type",
                    "target_ids",
                    "limit",
                    "marker",
                    "offset",
                    "targets",
                    "auth",
                    "task_type",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    body=JUNK,
    path=st.sampled_from(
        ["bind", "unbind", "list-targets", "tasks", "token", "policy"]
    ),
)
@settings(max_examples=150, **SHARED_SIMULATOR)
def test_no_body_causes_an_internal_error(sim: Sim, body: Any, path: Any) -> None:
    policy = f"/device-policies/{sim.known.policy}"
    places = {
        "tasks": "/batchtasks",
        "token": "/v3/auth/tokens",
        "policy": "/device-policies",
    }
    assert sim.post(places.get(path, f"{policy}/{path}"), body).status_code < 500
