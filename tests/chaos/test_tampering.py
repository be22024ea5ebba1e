"""A short form of ``bin/chaos audit``."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from iotda_admin.audit.checks import filters
from iotda_admin.audit.models import Event
from iotda_admin.audit.verify import verify_trail
from tests.chaos import storage, tampering


@pytest.mark.django_db
def test_every_tampering_is_detected_and_located() -> None:
    found = tampering.tamper(1, 100)
    assert found.violations == []
    assert found.numbers["changes_refused"] == found.numbers["changes_tried"]


@pytest.mark.django_db
def test_a_deleted_tail_and_a_rewritten_trail_need_an_expected_head() -> None:
    found = tampering.tamper(1, 30, expecting=False)
    assert len(found.violations) == found.numbers["tamperings"] == 30


@pytest.mark.django_db
def test_every_tampering_with_the_storage_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(filters, "SAMPLE_SIZE", 2)
    assert storage.tamper(1, 15, tampering.all_errors).violations == []


@pytest.mark.django_db
def test_the_chain_does_not_cover_the_storage() -> None:
    found = storage.tamper(1, 10, tampering.errors_of_rows)
    assert len(found.violations) > 5


@pytest.mark.django_db(transaction=True)
def test_four_concurrent_writers_make_one_chain() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(tampering.append_events_of_writer, range(4), [15] * 4)) == 0
    assert verify_trail().broken_at is None
    assert list(Event.objects.order_by("id").values_list("id", flat=True)) == list(
        range(1, 61)
    )
