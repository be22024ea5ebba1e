"""bind and unbind on the command line: policy names, and confirming a whole space."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from devices.models import Device, Space
from iotda_admin.operations.cli.utility import Utility
from iotda_admin.operations.models import Operation
from policies.models import Policy
from tests.cloud import Cloud
from tests.operation_helpers import (
    make_iotda_unreachable,
    target_states,
    write_requests,
)

WHY = {"reason": "leaks data", "ticket": "INC-42"}


@pytest.fixture
def start_operation(inventory: Cloud) -> Callable[..., Any]:
    """Runs a command; gives its exit status, or the reason why it was refused."""

    def start_operation(name: Any, *ids: Any, policy: Any = None, **more: Any) -> Any:
        facts = WHY | {"policy": policy or inventory.known_ids["policy"]} | more
        with pytest.raises((SystemExit, CommandError)) as end:
            call_command(Utility([]).fetch_command(name), *ids, **facts)
        if isinstance(end.value, SystemExit):
            return end.value.code
        assert isinstance(end.value, CommandError)
        assert end.value.returncode == 2
        assert not Operation.objects.exists()
        return str(end.value)

    return start_operation


def only() -> Operation:
    return Operation.objects.get()


def test_the_commands_bind_and_unbind(
    start_operation: Callable[..., Any],
    inventory: Cloud,
    capsys: pytest.CaptureFixture[str],
) -> None:
    policy, device = inventory.known_ids["policy"], inventory.free(1)[0]
    assert start_operation("bind", device) == 0
    assert device in inventory.bound(policy)
    assert start_operation("unbind", device) == 0
    assert device not in inventory.bound(policy)
    name = Device.objects.get(pk=device).name
    assert f"unbind quarantine from device {name}: 1 unbound" in capsys.readouterr().out


def test_the_record_has_names_and_the_previous_state(
    start_operation: Callable[..., Any], inventory: Cloud
) -> None:
    policy, device = inventory.known_ids["policy"], inventory.free(1)[0]
    binding = {"policy_id": policy, "target_type": "device", "target_id": device}
    inventory.call("POST", "bindings", json=binding)
    assert start_operation("bind", device) == 0
    target = only().targets.get()
    assert (target.name != "", target.stood_before, target.state) == (
        True,
        True,
        "already",
    )
    assert (only().policy_name, only().source) == ("quarantine", "cli")


def test_a_policy_is_found_by_its_exact_name(
    start_operation: Callable[..., Any], inventory: Cloud
) -> None:
    Policy.objects.exclude(pk=inventory.known_ids["policy"]).filter(
        name="quarantine"
    ).delete()
    assert start_operation("bind", *inventory.free(2), policy="quarantine") == 0
    assert only().policy_id == inventory.known_ids["policy"]


def test_an_ambiguous_policy_name_lists_the_candidates(
    start_operation: Callable[..., Any], inventory: Cloud
) -> None:
    space = Space.objects.first()
    Policy.objects.create(policy_id="a-twin", name="quarantine", app_id=space.pk)
    said = start_operation("bind", inventory.free(1)[0], policy="quarantine")
    assert f"a-twin  in {space.name}" in said
    assert inventory.known_ids["policy"] in said


@pytest.mark.parametrize("name", ["nope", "Quarantine", "quarant", "no such policy"])
def test_an_unknown_policy_is_rejected(
    start_operation: Callable[..., Any], inventory: Cloud, name: str
) -> None:
    assert f"exactly this name: {name}\n" in start_operation(
        "bind", inventory.free(1)[0], policy=name
    )


def test_a_policy_created_since_the_sync_is_found_at_iotda(
    start_operation: Callable[..., Any], inventory: Cloud
) -> None:
    policy = inventory.known_ids["policy"]
    Policy.objects.all().delete()
    assert start_operation("bind", inventory.free(1)[0], policy=policy) == 0


def test_nothing_is_recorded_if_the_policy_cannot_be_read(
    start_operation: Callable[..., Any], inventory: Cloud, settings: Settings
) -> None:
    make_iotda_unreachable(settings)
    Policy.objects.all().delete()
    assert "IoTDA cannot be read" in start_operation("bind", inventory.free(1)[0])


@pytest.mark.parametrize("typed", ["", "wrong"])
def test_binding_a_whole_space_requires_its_name(
    start_operation: Callable[..., Any], inventory: Cloud, typed: str
) -> None:
    space = Space.objects.get(pk=inventory.known_ids["space"])
    said = start_operation("bind", space.pk, target_type="app", confirm_space=typed)
    assert (
        said == f"--confirm-space: Type the name exactly as it is shown: {space.name}"
    )
    assert not write_requests(inventory)


def test_a_whole_space_is_bound_with_its_name(
    start_operation: Callable[..., Any], inventory: Cloud
) -> None:
    space = Space.objects.get(pk=inventory.known_ids["space"])
    assert (
        start_operation("bind", space.pk, target_type="app", confirm_space=space.name)
        == 0
    )
    assert inventory.bound(inventory.known_ids["policy"], "app") == {space.pk}


def test_a_partial_failure_is_printed(
    start_operation: Callable[..., Any],
    inventory: Cloud,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good, full = inventory.free(1)[0], inventory.known_ids["full"]
    assert start_operation("bind", good, full) == 1
    assert target_states(only()) == {good: "ok", full: "failed"}
    assert "already has 5 policies" in capsys.readouterr().out


def test_a_bind_across_spaces_needs_its_option(
    start_operation: Callable[..., Any], inventory: Cloud
) -> None:
    inventory.switch(cross_space="failure")
    known = inventory.known_ids
    far = known["free_by_space"][known["other_space"]][0]
    refusal = start_operation("bind", far)
    assert "--other-space: Targets are in another resource space" in refusal
    assert start_operation("bind", far, other_space=True) == 1
