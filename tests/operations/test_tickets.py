"""How a ticket has to be written, whether it is required, and where it leads."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from iotda_admin.core import env
from iotda_admin.core.tickets import ticket_url
from iotda_admin.operations.cli.command import VerbCommand
from iotda_admin.operations.models import Operation
from iotda_admin.operations.verbs import get_verb
from tests.cloud import ROOT, Cloud
from tests.operation_helpers import change_form, write_requests

SENTENCE = "“INC-7” is not a ticket. Write it like INC-4711."


@pytest.fixture(autouse=True)
def pattern(settings: Settings) -> None:
    settings.TICKET_PATTERN = "INC-[0-9]{4}"


def freeze(client: Client, cloud: Cloud, ticket: str) -> Any:
    device = cloud.known_ids["online"]
    return client.post(f"/devices/{device}/freeze/", change_form(ticket=ticket))


def test_a_ticket_of_another_form_is_refused(
    operator: Client, inventory: Cloud
) -> None:
    response = freeze(operator, inventory, "INC-7")
    assert response.status_code == 422
    assert SENTENCE in response.text
    assert write_requests(inventory) == []
    assert freeze(operator, inventory, " INC-4711\u200b ").status_code == 302
    assert Operation.objects.get().ticket == "INC-4711"


@pytest.mark.parametrize("required", [True, False])
def test_a_ticket_can_be_required(
    operator: Client, inventory: Cloud, settings: Settings, required: bool
) -> None:
    settings.TICKET_REQUIRED = required
    page = operator.get(f"/devices/{inventory.known_ids['online']}/freeze/").text
    assert ("optional" in page) is not required
    response = freeze(operator, inventory, "")
    assert ("Give the ticket, such as INC-4711." in response.text) is required
    assert Operation.objects.exists() is not required


def test_the_command_line_follows_the_same_rule(inventory: Cloud) -> None:
    freeze_command = VerbCommand(get_verb("device.freeze"))
    device = inventory.known_ids["online"]
    with pytest.raises(CommandError, match="--ticket: “INC-7” is not a ticket"):
        call_command(freeze_command, device, reason="unpaid", ticket="INC-7")
    assert write_requests(inventory) == []


def test_a_ticket_leads_to_its_system(
    operator: Client, inventory: Cloud, settings: Settings
) -> None:
    settings.TICKET_URL = "https://desk.example.com/browse/{ticket}?from=iotda"
    url = freeze(operator, inventory, "INC-4711").url
    link = 'href="https://desk.example.com/browse/INC-4711?from=iotda"'
    for page in (url, "/operations/", f"/devices/{inventory.known_ids['online']}/"):
        assert link in operator.get(page).text
    settings.TICKET_URL = ""
    assert link not in operator.get(url).text


def test_a_ticket_from_before_the_pattern_has_no_link(settings: Settings) -> None:
    settings.TICKET_URL = "https://desk.example.com/{ticket}"
    assert ticket_url("javascript:alert(1)") == ""
    settings.TICKET_PATTERN = ".*"
    assert ticket_url("a/b?c") == "https://desk.example.com/a%2Fb%3Fc"
    assert ticket_url("") == ""


def test_a_pattern_that_cannot_be_read_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TICKET_PATTERN", "INC-[0-9")
    with pytest.raises(ImproperlyConfigured, match="TICKET_PATTERN must be a regular"):
        env.regex("TICKET_PATTERN", ".*")


def test_a_pattern_may_begin_with_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = r"(?i)inc-\d+|chg\d+"
    monkeypatch.setenv("TICKET_PATTERN", pattern)
    monkeypatch.setenv("TICKET_EXAMPLE", "CHG1")
    text = (ROOT / "iotda_admin/settings.py").read_text()
    lines = text.partition("TICKET_PATTERN = ")[2].partition("TICKET_REQUIRED")[0]
    found: dict[str, Any] = {"env": env}
    exec(f"TICKET_PATTERN = {lines}", found)
    assert (found["TICKET_PATTERN"], found["TICKET_EXAMPLE"]) == (pattern, "CHG1")
