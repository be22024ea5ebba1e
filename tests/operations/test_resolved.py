"""Failed, partly failed and resolved failures, on pages and in filters."""

import re
from collections.abc import Callable

import pytest
from django.test import Client

from iotda_admin.operations.models import Operation
from iotda_admin.operations.resolutions import (
    failure_summary,
    read_resolver,
)
from tests.cloud import Cloud
from tests.operation_helpers import make_everything_due, run_workers

type Start = Callable[..., Operation]


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def badge(client: Client, operation: Operation) -> tuple[str, str]:
    """The tone and the label of the badge in the title of its page."""
    title = client.get(operation.get_absolute_url()).text.partition("<h1")[2]
    found = re.search(r'badge" data-tone="(\w+)">(.*?)</span>', title, re.S)
    assert found
    return found[1], text_of(found[2]).strip()


def listed(client: Client, state: str) -> set[str]:
    page = client.get("/operations/", {"state": state}).text
    return set(re.findall(r"OP-\d+</a>", page.partition("<tbody>")[2]))


@pytest.fixture
def failed(start_operation: Start, inventory: Cloud) -> Operation:
    """A freeze of three devices that IoTDA refuses."""
    inventory.fault(
        "FreezeDevice", "status", match={"times": 3}, status=400, error_code="IOTDA.999"
    )
    operation = start_operation("device.freeze", *inventory.free(3))
    run_workers()
    assert set(operation.targets.values_list("state", flat=True)) == {"failed"}
    operation.refresh_from_db()
    return operation


@pytest.fixture
def resolve(failed: Operation, start_operation: Start) -> Callable[[int], Operation]:
    """Freeze so many of its devices again, without a fault."""

    def resolve(number: int) -> Operation:
        ids = failed.targets.filter(resolved_at=None).values_list(
            "target_id", flat=True
        )
        later = start_operation("device.freeze", *ids[:number])
        make_everything_due()
        run_workers()
        return later

    return resolve


def test_failed_is_not_partly_failed(
    auditor: Client, failed: Operation, start_operation: Start, inventory: Cloud
) -> None:
    partly = start_operation("device.freeze", inventory.free(1)[0], "nobody-1")
    run_workers()
    assert badge(auditor, failed) == ("danger", "Failed")
    assert badge(auditor, partly) == ("danger", "Partly failed")


def test_resolved_and_open_failures_are_counted_apart(
    auditor: Client, failed: Operation, resolve: Callable[[int], Operation]
) -> None:
    later = resolve(1)
    words = f"2 open, 1 resolved by {later}"
    assert str(failure_summary(failed.targets.all())) == words
    page = auditor.get(failed.get_absolute_url()).text
    assert page.count(words) == 3  # above the causes, at the cause, in the ticket text
    assert words in auditor.get("/operations/").text
    assert words in auditor.get("/").text
    assert badge(auditor, failed) == ("danger", "Failed")


def test_an_operation_whose_failures_are_resolved_is_not_red(
    auditor: Client, failed: Operation, resolve: Callable[[int], Operation]
) -> None:
    resolve(3)
    assert badge(auditor, failed) == ("neutral", "Failures resolved")
    page = auditor.get(failed.get_absolute_url()).text
    assert 'data-state="failed"' not in page
    group = page.partition('class="failure"')[2]
    assert "Next:" not in group.partition("</section>")[0]
    assert '<details class="fold" id="fold-failed-IOTDA.999">' in group


def test_the_filters_distinguish_open_failures_from_all(
    auditor: Client, failed: Operation, resolve: Callable[[int], Operation]
) -> None:
    later = resolve(1)
    one, two = f"{failed}</a>", f"{later}</a>"
    assert listed(auditor, "open-failures") == {one}
    assert listed(auditor, "failures") == {one}
    assert listed(auditor, "done") == {two}
    later = resolve(2)
    assert listed(auditor, "open-failures") == set()
    assert listed(auditor, "failures") == {one}
    assert listed(auditor, "done") == {two, f"{later}</a>"}


def test_the_filter_of_open_failures_respects_mine(
    auditor: Client, failed: Operation
) -> None:
    page = auditor.get("/operations/?state=open-failures&mine=1").text
    assert str(failed) not in page
    assert "mine=1" in page


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ("OP-6", "2 resolved by OP-6"),
        ("OP-6, which failed again", "2 failed again in OP-6"),
        ("inventory: the target is as requested", "2 resolved by a sync"),
        ("ada: it works, which failed again", "2 resolved by ada"),
    ],
)
def test_what_resolved_a_failure_is_named(stored: str, said: str) -> None:
    assert read_resolver(stored).describe(2) == said
