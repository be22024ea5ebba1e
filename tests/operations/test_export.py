"""The CSV file and the ticket summary of an operation."""

import csv
import html
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from devices.models import Device, Space
from iotda_admin.audit.models import Event
from iotda_admin.operations.models import Operation, Target
from policies.models import Policy
from tests.cloud import Cloud
from tests.operation_helpers import bind_form


@pytest.fixture
def partial(start_operation: Callable[..., Operation], inventory: Cloud) -> Any:
    return start_operation(
        "policy.bind", *inventory.free(2), "nobody-1", inventory.known_ids["full"],
        policy="policy", ticket="INC-7", policy_name="quarantine",
    )  # fmt: skip


def table(client: Any, operation: Any) -> list[Any]:
    response = client.get(f"{operation.get_absolute_url()}failures.csv")
    return list(csv.DictReader(io.StringIO(response.getvalue().decode("utf-8-sig"))))


def test_the_csv_file_has_the_failed_targets_and_their_reasons(
    auditor: Client, partial: Any, inventory: Cloud
) -> None:
    rows = {row["id"]: row for row in table(auditor, partial)}
    request = inventory.journal("BindDevicePolicy")[-1]["request_id"]
    assert rows.keys() == {"nobody-1", inventory.known_ids["full"]}
    row = rows["nobody-1"]
    assert (row["state"], row["code"], row["request_id"]) == (
        "failed",
        "IOTDA.014000",
        request,
    )
    assert row["iotda_said"]
    assert row["meaning"] == "The device does not exist."
    assert row["next_step"].startswith("Check the ID.")


def test_the_csv_file_says_when_and_how_failures_were_resolved(
    auditor: Client, partial: Any, inventory: Cloud
) -> None:
    Target.objects.filter(target_id="nobody-1").update(
        resolved_at="2026-01-02T23:04:05Z", resolved_by="ada: it was scrapped"
    )
    rows = {row["id"]: row for row in table(auditor, partial)}
    columns = ("resolved_at", "resolved_by", "resolved_how")
    cells = {id: [row[name] for name in columns] for id, row in rows.items()}
    assert cells == {
        "nobody-1": ["2026-01-02 23:04:05Z", "ada", "it was scrapped"],
        inventory.known_ids["full"]: ["", "", ""],
    }


@pytest.mark.parametrize("state", ["unknown", "skipped", "cancelled"])
def test_the_csv_file_has_all_targets_that_did_not_succeed(
    auditor: Client, partial: Any, state: str
) -> None:
    Target.objects.filter(state="ok").update(state=state)
    assert [row["state"] for row in table(auditor, partial)].count(state) == 2


@pytest.mark.parametrize("evil", ["=1+1", "@SUM(A1)", " =cmd|x"])
def test_no_cell_is_a_formula_for_a_spreadsheet(
    auditor: Client, partial: Any, evil: str
) -> None:
    Target.objects.filter(target_id="nobody-1").update(name=evil, error_message=evil)
    row = next(row for row in table(auditor, partial) if row["id"] == "nobody-1")
    assert (row["name"], row["iotda_said"]) == (f"'{evil}", f"'{evil}")


@pytest.mark.parametrize("url", ["{}failures.csv", "/audit/export.csv?code=%s"])
def test_a_csv_file_of_ours_can_be_uploaded_again(
    auditor: Client, operator: Client, partial: Any, url: str
) -> None:
    Target.objects.filter(target_id="nobody-1").update(name="泵，北 – Überdruck")
    code = "IOTDA.014000"
    data = auditor.get(
        url.format(partial.get_absolute_url()).replace("%s", code)
    ).getvalue()
    assert data.startswith("\ufeff".encode())
    upload = SimpleUploadedFile("again.csv", data)
    page = operator.post("/devices/selection.freeze/", {"upload": upload})
    assert "nobody-1" in page.text
    assert "is not an ID" not in page.text


def test_the_trail_names_who_downloaded_the_table(
    auditor: Client, partial: Any
) -> None:
    response = auditor.get(f"{partial.get_absolute_url()}failures.csv")
    assert (
        response.headers["Content-Disposition"]
        == f'attachment; filename="{partial}-failures.csv"'
    )
    event = Event.objects.get(kind="export")
    assert (event.actor_name, event.operation, event.summary) == (
        "auditor", partial.pk, f"failures of {partial} as CSV",
    )  # fmt: skip


def test_the_csv_file_is_streamed(auditor: Client, partial: Any) -> None:
    response = auditor.get(f"{partial.get_absolute_url()}failures.csv")
    assert response.streaming
    assert response.getvalue().count(b"\r\n") == 3


def summary(client: Any, operation: Any) -> Any:
    text = client.get(operation.get_absolute_url()).text
    return html.unescape(
        re.search(r'<pre[^>]*id="ticket-text"[^>]*>(.*?)</pre>', text, re.S)[1]
    )


def test_no_name_or_message_adds_a_line_to_the_summary(
    auditor: Client, partial: Any
) -> None:
    lines = len(summary(auditor, partial).splitlines())
    forged = "pump\r\nDone: 4\u2028\u202e"
    failed = Target.objects.filter(target_id="nobody-1")
    failed.update(name=forged, error_message=forged)
    Operation.objects.update(reason=forged, ticket=forged, policy_name=forged)
    text = summary(auditor, partial)
    assert len(text.splitlines()) == lines
    assert "  pump Done: 4  (nobody-1)" in text


def test_the_summary_has_the_facts_for_a_ticket(
    auditor: Client, partial: Any, inventory: Cloud
) -> None:
    text = summary(auditor, partial)
    request = inventory.journal("BindDevicePolicy")[-1]["request_id"]
    for said in [
        f"{partial}: Bind quarantine, 4 devices",
        "Asked by admin (admin) on",
        "Reason: because",
        "Ticket: INC-7",
        f"Policy: quarantine ({inventory.known_ids['policy']})\n",
        "Done: 2, Failed: 2",
        "The device does not exist. [IOTDA.014000]",
        "  nobody-1",
        f"Request ID: {request}",
        f"http://testserver{partial.get_absolute_url()}",
    ]:
        assert said in text


def test_the_summary_names_the_space_that_a_policy_was_bound_to(
    auditor: Client, policyadmin: Client, inventory: Cloud
) -> None:
    space = Space.objects.get(pk=inventory.known_ids["space"])
    Space.objects.update(name="北区")
    policy = Policy.objects.get(pk=inventory.known_ids["other_policy"])
    form = bind_form(policy.pk, space.pk, target_type="app", space_name="北区")
    policyadmin.post(f"/policies/{policy.pk}/bind/", form)
    text = summary(auditor, Operation.objects.get())
    devices = Device.objects.filter(app_id=space.pk).count()
    words = f"resource space 北区 ({space.pk}) ({devices} devices)"
    assert f": Bind {policy.name}, {words} ·" in text
    assert f"Policy: {policy.name} ({policy.pk})\n" in text


def test_the_summary_names_a_failed_target(auditor: Client, partial: Any) -> None:
    Target.objects.filter(target_id="nobody-1").update(name="泵")
    assert "\n  泵 (nobody-1)\n" in summary(auditor, partial)


def test_the_summary_lists_ten_of_many_targets(
    auditor: Client, start_operation: Callable[..., Operation]
) -> None:
    operation = start_operation(
        "policy.bind", *(f"nobody-{n}" for n in range(15)), policy="policy"
    )
    text = summary(auditor, operation)
    assert text.count("  nobody-") == 10
    assert "and 5 more" in text


def test_the_summary_is_plain_text_whatever_a_user_typed(
    auditor: Client, start_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = start_operation(
        "device.freeze", *inventory.free(1), **{"ticket": "<i>1</i>"}
    )
    assert "Ticket: <i>1</i>" in summary(auditor, operation)
    assert "<i>1</i>" not in auditor.get(operation.get_absolute_url()).text


def test_a_running_operation_has_no_summary_yet(
    auditor: Client, record_operation: Callable[..., Operation], inventory: Cloud
) -> None:
    operation = record_operation("device.freeze", *inventory.free(2))
    assert "ticket-text" not in auditor.get(operation.get_absolute_url()).text
