"""The index of the search finds what reading every row finds, and changes with the rows."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices import search, search_index
from devices.models import Device
from devices.search import search_devices
from devices.search_index import install_search_index
from iotda_admin.core.search_text import normalize_text
from iotda_admin.core.tidy import tidy

# Few, so that what is searched for is often there; among them the signs of LIKE and FTS5.
ALPHABET = "aab1-_ %\"'*().:^{水泵三号é\u200b\ufffeé"
TEXTS = st.text(ALPHABET, max_size=12) | st.sampled_from(
    ["OR", "NEAR(a b)", "a AND b", "NOT a", "a*", '"a b"', "水泵", "三号水泵房", "泵", "text:a", "-a"]
)  # fmt: skip
sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="needs SQLite")
postgresql = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="needs PostgreSQL"
)


@pytest.fixture(params=[0, 10_000], ids=["row by row", "by the index"])
def few(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FEW", request.param)


def store(names: list[str]) -> None:
    Device.objects.all().delete()
    Device.objects.bulk_create(
        Device(device_id=f"d{n:02}", node_id="", name=name, status="ONLINE")
        for n, name in enumerate(names)
    )


def found(text: str) -> list[str]:
    rows = search_devices(Device.objects.order_by("pk"), text).rows
    return list(rows.values_list("pk", flat=True))


def expected(names: list[str], text: str) -> list[str]:
    """Return the devices whose normalised text contains all words of a search."""
    words = normalize_text(text).split()
    texts = {
        f"d{n:02}": normalize_text(f"d{n:02}  {name}") for n, name in enumerate(names)
    }
    return [id for id, text in texts.items() if all(word in text for word in words)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(TEXTS, max_size=8), renamed=TEXTS, text=TEXTS)
def test_the_index_finds_what_reading_every_row_finds(
    few: None, db: None, names: list[str], renamed: str, text: str
) -> None:
    store([*names, "x"])
    # A row that changed, and one that is gone.
    last = Device.objects.get(pk=f"d{len(names):02}")
    last.name = renamed
    last.save()
    assert found(text) == expected_or_bare([*names, renamed], text)
    last.delete()
    assert found(text) == expected_or_bare(names, text)


def expected_or_bare(names: list[str], text: str) -> list[str]:
    """What contains the words as typed; if nothing does, without quotes and separators."""
    bare = " ".join(map(tidy, normalize_text(text).split()))
    typed = expected(names, text)
    return typed or (expected(names, bare) if bare.strip() else [])


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("水泵", "水泵"),
        ("水泵", "三号水泵"),
        ("号水", "三号水泵房"),
        ("泵", "三号水泵"),
        ("ü", "Südtor"),
        ("4b", "Gate 4B"),
        ("%", "100 %"),
    ],
)
def test_one_or_two_characters_are_found_anywhere(
    few: None, db: None, typed: str, name: str
) -> None:
    store(["Pump", name, "Meter"])
    assert found(typed) == ["d01"]


def test_every_way_to_write_a_row_is_indexed(db: None) -> None:
    store(["north gate", "south gate"])
    Device.objects.filter(pk="d00").update(search_text="d00 west gate")
    assert found("west") == ["d00"]
    assert found("north") == []
    Device.objects.filter(pk="d00").delete()
    assert found("gate") == ["d01"]


@pytest.fixture
def plan(db: None) -> Callable[[Any], str]:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    return lambda rows: str(rows.explain())


def test_the_index_is_used(plan: Callable[[Any], str]) -> None:
    store(["north gate", "south gate"])
    rows = search_devices(Device.objects.order_by(), "north").rows
    assert "devices_search" in plan(rows) or "rowid=?" in plan(rows)


@sqlite
def test_a_lost_trigger_is_made_again_with_the_index(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER devices_search_insert")
    store(["north gate"])
    assert found("north") == []
    install_search_index()
    assert found("north") == ["d00"]
    store(["west gate"])
    assert found("west") == ["d00"]


@pytest.fixture
def without_extension(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on which the extension cannot be created."""
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX devices_search")
    missing = search_index.MAKE_POSTGRESQL_INDEX.replace("gin_trgm_ops", "not_there")
    monkeypatch.setattr(search_index, "MAKE_POSTGRESQL_INDEX", missing)


@postgresql
def test_without_the_extension_a_search_reads_every_row(
    without_extension: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        install_search_index()
    assert "Create the extension pg_trgm" in caplog.text
    store(["north gate"])
    assert found("north") == ["d00"]


@postgresql
def test_the_index_is_made_once_the_extension_is_there(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP EXTENSION pg_trgm CASCADE")
    install_search_index()
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('devices_search')::text")
        assert cursor.fetchone() == ("devices_search",)
