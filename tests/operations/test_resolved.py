"""Failed, partly failed and resolved failures, on pages and in filters."""

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from iotda_admin.operations import open_failures
from iotda_admin.operations.models import Operation
from iotda_admin.operations.resolutions import (
    failure_summary,
    read_resolution,
    read_resolver,
)
from tests.cloud import Cloud
from tests.operation_helpers import (
    OTHER_KEY,
    change_form,
    make_everything_due,
    run_workers,
)

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


@pytest.mark.parametrize("few", [0, 3, 4])
def test_a_later_success_resolves_a_failure_however_many_are_open(
    failed: Operation,
    resolve: Callable[[int], Operation],
    monkeypatch: pytest.MonkeyPatch,
    few: int,
) -> None:
    monkeypatch.setattr(open_failures, "FEW_FAILURES", few)
    later = resolve(2)
    resolved = failed.targets.exclude(resolved_at=None)
    assert list(resolved.values_list("resolved_by", flat=True)) == [str(later)] * 2


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


@pytest.mark.parametrize(
    ("stored", "by", "how"),
    [
        ("OP-6", "OP-6", "a later operation"),
        ("OP-6, which failed again", "OP-6", "the same change failed again"),
        (
            "inventory: the target no longer exists",
            "sync",
            "the target no longer exists",
        ),
        ("ada: it works, which failed again", "ada", "it works, which failed again"),
    ],
)
def test_a_table_says_what_resolved_a_failure_and_how(
    stored: str, by: str, how: str
) -> None:
    assert read_resolution(stored) == (by, how)


# Retry


def test_a_retry_is_offered_while_a_failure_is_open(
    operator: Client, failed: Operation, resolve: Callable[[int], Operation]
) -> None:
    url = f"{failed.get_absolute_url()}retry/"
    resolve(2)
    assert f'href="{url}"' in operator.get(failed.get_absolute_url()).text
    resolve(1)
    assert f'href="{url}"' not in operator.get(failed.get_absolute_url()).text


@pytest.mark.parametrize("state", ["skipped", "cancelled"])
def test_a_retry_of_what_was_not_sent_is_offered(
    operator: Client, failed: Operation, resolve: Callable[[int], Operation], state: str
) -> None:
    last = failed.targets.get(target_id=failed.targets.latest("pk").target_id)
    resolve(3)
    failed.targets.filter(pk=last.pk).update(state=state, resolved_at=None)
    url = f"{failed.get_absolute_url()}retry/"
    assert f'href="{url}"' in operator.get(failed.get_absolute_url()).text


@pytest.mark.parametrize("by", ["a retry", "a user"])
def test_a_retry_of_resolved_failures_is_refused_with_the_reason(
    operator: Client, failed: Operation, resolve: Callable[[int], Operation], by: str
) -> None:
    url = f"{failed.get_absolute_url()}retry/"
    seen = re.search(r'name="seen" value="(\w+)"', operator.get(url).text)
    assert seen
    if by == "a user":
        failed.targets.update(resolved_at=timezone.now(), resolved_by="ada: scrapped")
        who = "ada"
    else:
        who = str(resolve(3))
    number = Operation.objects.count()
    said = f"No failure of {failed} is open any more: 3 resolved by {who}."
    page = operator.get(url)
    assert page.status_code == 200
    assert said in page.text
    assert "Nothing left to retry." in page.text
    form = change_form(group=["failed:IOTDA.999"], seen=seen[1], key=OTHER_KEY)
    response = operator.post(url, form)
    assert response.status_code == 409
    assert said in response.text
    assert Operation.objects.count() == number
