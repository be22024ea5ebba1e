"""The command line: exit status, output and records; in processes of their own."""

import io
import json
import os
import pty
import pwd
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from devices.models import Device
from iotda_admin.audit.models import Event
from iotda_admin.operations.cli.utility import Utility
from iotda_admin.operations.cli.watch import Interruption
from iotda_admin.operations.models import Chunk, Operation
from tests.cloud import ROOT, Cloud
from tests.operation_helpers import outcome_counts, target_states, write_requests
from tests.operations.deployment import until
from tests.samples import SAMPLES, known_objects

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE = "Waiting a few seconds for the calls under way.\n"
WHY = ("--reason", "contract ended", "--ticket", "INC-42")


def database_url() -> str:
    """The test's own database, for another process."""
    has = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{has['NAME']}"
    return f"postgres://{has['USER']}:{has['PASSWORD']}@{has['HOST']}:{has['PORT']}/{has['NAME']}"


@pytest.fixture
def start(inventory: Cloud) -> Callable[..., Any]:
    """Starts a command as a shell does, its standard input closed unless it is given."""

    def start(*command: Any, **more: Any) -> Any:
        facts = {"DATABASE_URL": database_url(), "IOTDA_ENDPOINT": inventory.api}
        env = (
            os.environ
            | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
            | facts
            | more.pop("env", {})
        )
        pipes = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | more
        return subprocess.Popen(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=env,
            text=True,
            **pipes,
        )

    return start


@pytest.fixture
def command(start: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a command to its end; gives its status, what it printed and what it complained of."""

    def command(*words: Any, stdin: Any = None, **more: Any) -> tuple[Any, ...]:
        process = start(
            *words, **({"stdin": subprocess.PIPE} if stdin is not None else {}), **more
        )
        out, err = process.communicate(stdin, timeout=60)
        return process.returncode, out, err

    return command


@pytest.fixture
def here(
    inventory: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Any]:
    """The same in this process, where a process of its own would prove nothing more."""

    def here(name: Any, *words: Any, stdin: str = "") -> tuple[Any, ...]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as end:
            Utility([]).fetch_command(name).run_from_argv(["manage.py", name, *words])
        return end.value.code, *capsys.readouterr()

    return here


def only() -> Operation:
    return Operation.objects.get()


def name() -> str:
    return only().targets.get().name


def test_one_device_is_frozen_at_once(
    command: Callable[..., Any], inventory: Cloud
) -> None:
    device = inventory.free(1)[0]
    status, out, err = command("freeze", device, *WHY)
    assert (status, out, err) == (0, f"{only()} freeze device {name()}: 1 frozen\n", "")
    assert inventory.status(device) == "FROZEN"


def test_several_are_sent_without_a_worker(
    command: Callable[..., Any], inventory: Cloud
) -> None:
    status, out, _err = command(
        "freeze", "--file", "-", *WHY, stdin="\n".join(inventory.free(10))
    )
    assert (status, outcome_counts(only())) == (0, {"ok": 10})
    assert "10 frozen" in out


def test_it_is_recorded_with_the_system_user(
    command: Callable[..., Any], inventory: Cloud
) -> None:
    command(
        "freeze",
        inventory.free(1)[0],
        *WHY,
        env={"LOGNAME": "mallory", "USER": "mallory"},
    )
    name = pwd.getpwuid(os.getuid()).pw_name
    operation = only()
    facts = (
        operation.actor,
        operation.actor_name,
        operation.source,
        operation.reason,
        operation.ticket,
    )
    assert facts == (None, name, "cli", "contract ended", "INC-42")
    assert set(
        Event.objects.filter(operation=operation.pk).values_list("actor_name", "source")
    ) == {(name, "cli")}


def test_a_partial_failure_is_printed_by_cause_with_the_next_step(
    here: Callable[..., Any], inventory: Cloud
) -> None:
    good, frozen = inventory.free(1)[0], inventory.known_ids["frozen"]
    status, out, _err = here("freeze", good, frozen, "gone-a", "gone-b", *WHY)
    assert status == 1
    first, *rest = out.splitlines()
    assert first == f"{only()} freeze 4 devices: 1 frozen, 1 already, 2 failed"
    assert "2 failed: The device does not exist." in rest
    assert "IOTDA.014000" in out
    assert "  Next: Check the ID." in out
    assert [line.strip() for line in rest[-2:]] == ["gone-a", "gone-b"]


def test_the_first_twenty_of_many_failed_targets_are_printed(
    here: Callable[..., Any], inventory: Cloud
) -> None:
    _status, out, _err = here("freeze", *[f"gone-{n:02}" for n in range(23)], *WHY)
    assert out.count("    gone-") == 20
    assert out.endswith("    and 3 more\n")


def test_json_output_is_one_document_with_the_targets_that_did_not_succeed(
    command: Callable[..., Any], inventory: Cloud
) -> None:
    good = inventory.free(1)[0]
    status, out, _err = command("freeze", good, "gone", *WHY, "--json")
    told, operation = json.loads(out), only()
    assert status == 1
    (target,) = told.pop("targets")
    assert told == {
        "operation": operation.pk,
        "verb": "device.freeze",
        "target_type": "device",
        "devices": None,
        "state": "done",
        "url": operation.get_absolute_url(),
        "counts": {"failed": 1, "ok": 1},
    }
    assert (target["id"], target["state"], target["code"]) == (
        "gone",
        "failed",
        "IOTDA.014000",
    )
    assert target["message"]


def test_ids_are_read_from_a_pipe_and_duplicates_count_once(
    command: Callable[..., Any], inventory: Cloud
) -> None:
    one, two = inventory.free(2)
    status, _out, err = command("freeze", *WHY, stdin=f"\ufeff{one}\r\n{two},\n{one}\n")
    assert (status, target_states(only())) == (0, {one: "ok", two: "ok"})
    assert err == "1 named more than once: each ID counts once.\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_is_read_by_its_id_column(
    here: Callable[..., Any], inventory: Cloud, tmp_path: Path, encoding: str
) -> None:
    device = inventory.free(1)[0]
    (tmp_path / "list.csv").write_text(
        f"name,device_id\nPump north,{device}\n", encoding
    )
    status, *_said = here("freeze", "--file", str(tmp_path / "list.csv"), *WHY)
    assert (status, target_states(only())) == (0, {device: "ok"})


def test_ids_from_arguments_a_file_and_a_pipe_are_combined(
    here: Callable[..., Any], inventory: Cloud, tmp_path: Path
) -> None:
    one, two, three = inventory.free(3)
    (tmp_path / "ids.txt").write_text(f"{two}\n")
    status, *_said = here(
        "freeze", one, "-", "--file", str(tmp_path / "ids.txt"), *WHY, stdin=three
    )
    assert (status, set(target_states(only()))) == (0, {one, two, three})


def test_node_ids_and_names_are_resolved_and_printed(
    here: Callable[..., Any], inventory: Cloud, tmp_path: Path
) -> None:
    one, two = inventory.free(2)
    Device.objects.filter(pk=one).update(node_id="ac:de:48:00:11:22", name="North")
    Device.objects.filter(pk=two).update(name="South 2")
    (tmp_path / "list.txt").write_text(f"node_id\nac:de:48:00:11:22\n{one}\n")
    status, _out, err = here(
        "freeze", "South 2", "--file", str(tmp_path / "list.txt"), *WHY
    )
    assert (status, target_states(only())) == (0, {one: "ok", two: "ok"})
    assert f"“ac:de:48:00:11:22” is the node ID of {one} (North).\n" in err
    assert f"“South 2” is the name of {two} (South 2).\n" in err
    assert "1 named more than once" in err


def test_an_ambiguous_name_is_refused_with_its_candidates(
    here: Callable[..., Any], inventory: Cloud
) -> None:
    one, two = inventory.free(2)
    Device.objects.filter(pk__in=[one, two]).update(name="Pump")
    status, _out, err = here("freeze", "Pump", *WHY)
    assert status == 2
    assert "“Pump” is the name of 2 devices" in err
    assert one in err
    assert two in err
    assert not Operation.objects.exists()


BAD = [
    (["a b", *WHY], "", "“a b” is not an ID"),
    (
        ["-", *WHY],
        "fine\n\nb\u0430d\n",
        "standard input: Line 3: “bаd” is not an ID.",
    ),
    (["-", *WHY], "\x1b[31m", "“\\x1b[31m” is not an ID"),
    (["-", *WHY], "\n".join(["a b"] * 12), "standard input: 2 more like these."),
    ([*WHY], "", "No IDs were given"),
    (["--file", "no/such/file", *WHY], "", "no/such/file: No such file or directory."),
    (["x", "--reason", " ", "--ticket", "t"], "", "--reason: must not be empty"),
    (["x", "--reason", "r", "--ticket", ""], "", "--ticket: must not be empty"),
    (["x", "--reason", "r", "--ticket", "\u200b"], "", "--ticket: must not be empty"),
    (
        ["x", "--reason", "r" * 501, "--ticket", "t"],
        "",
        "--reason: Ensure this value has at most 500",
    ),
    (
        ["x", "--reason", "r", "--ticket", "t" * 65],
        "",
        "--ticket: Ensure this value has at most 64",
    ),
    (["x", "--reason", "r"], "", "--ticket"),
    (["x", "--ticket", "t"], "", "--reason"),
    (["x", "--wait", "-1", *WHY], "", "--wait: must be a number of seconds"),
    (["x", "--wait", "nan", *WHY], "", "--wait: must be a number of seconds"),
    (["x", "--what", *WHY], "", "--what"),
]


@pytest.mark.parametrize(("words", "stdin", "said"), BAD)
def test_an_invalid_command_is_rejected_and_not_recorded(
    here: Callable[..., Any], inventory: Cloud, words: list[Any], stdin: Any, said: str
) -> None:
    status, out, err = here("freeze", *words, stdin=stdin)
    assert (status, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert not Operation.objects.exists()


def test_input_beyond_the_largest_limit_is_not_read(
    here: Callable[..., Any], settings: Settings
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    status, _out, err = here("freeze", "-", *WHY, stdin="a" * 11)
    assert status == 2
    assert err.startswith("Refused: standard input: too large.")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            {"DATABASE_URL": "sqlite:////nowhere/at/all.sqlite3"},
            "The database cannot be used",
        ),
        (
            {"IOTDA_AUTH": "token", "IOTDA_TOKEN": "\x01"},
            "IOTDA_ENDPOINT or the credentials",
        ),
        ({"TARGETS_LIMIT": "20"}, "More IDs than the 20"),
        ({"IOTDA_ENDPOINT": "gopher://x"}, "IOTDA_ENDPOINT must be"),
    ],
)
def test_a_conflict_is_refused_before_anything_is_recorded(
    command: Callable[..., Any], inventory: Cloud, env: dict[str, Any], said: str
) -> None:
    status, out, err = command("freeze", *[f"x{n}" for n in range(21)], *WHY, env=env)
    assert (status, out) == (2, "")
    assert said in err
    assert not Operation.objects.exists()


def test_a_target_of_a_running_operation_rejects_the_command(
    here: Callable[..., Any], inventory: Cloud
) -> None:
    device = inventory.free(1)[0]
    inventory.fault("FreezeDevice", "throttle", retry_after=60)
    here("freeze", device, *WHY, "--wait", "0.1")
    status, out, err = here("freeze", device, *WHY)
    assert (status, out) == (2, "")
    assert err.startswith(f"Refused: {only()} by ")


def test_an_unanswered_change_is_read_back(
    command: Callable[..., Any], inventory: Cloud
) -> None:
    device = inventory.free(1)[0]
    inventory.fault("FreezeDevice", "reset", moment="after")
    status, out, _err = command("freeze", device, *WHY)
    assert (status, out) == (0, f"{only()} freeze device {name()}: 1 frozen\n")
    assert len(write_requests(inventory)) == 1


def test_the_command_waits_no_longer_than_its_timeout(
    command: Callable[..., Any], inventory: Cloud
) -> None:
    inventory.fault("FreezeDevice", "throttle", retry_after=60)
    status, out, err = command("freeze", inventory.free(1)[0], *WHY, "--wait", "0.3")
    assert (status, out) == (1, f"{only()} freeze device {name()}: 1 pending\n")
    assert f"{only()} goes on" in err
    assert only().get_absolute_url() in err


def test_with_no_wait_the_operation_is_left_to_the_worker(
    here: Callable[..., Any], inventory: Cloud
) -> None:
    status, out, err = here("freeze", *inventory.free(2), *WHY, "--wait", "0")
    assert (status, out) == (0, f"{only()} freeze 2 devices: 2 pending\n")
    assert "goes on" in err
    assert not write_requests(inventory)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interrupted_command_leaves_a_clean_state(
    start: Callable[..., Any], inventory: Cloud, number: Any, status: int
) -> None:
    # All ten calls would take five seconds; the interrupt comes long before.
    inventory.fault("FreezeDevice", "latency", seconds=1)
    env = {"IOTDA_IN_FLIGHT": "2", "IOTDA_DEADLINE": "10"}
    process = start("freeze", *inventory.free(10), *WHY, env=env)
    until(lambda: inventory.journal("FreezeDevice"))
    process.send_signal(number)
    out, err = process.communicate(timeout=40)
    operation = only()
    assert process.returncode == status
    assert f"{operation} goes on without this command" in err
    assert PATIENCE in err
    assert "pending" in out
    assert "Traceback" not in err
    left = set(Chunk.objects.values_list("state", flat=True))
    assert left == {"done", "pending"}
    assert outcome_counts(operation)["ok"] == len(write_requests(inventory))


def test_a_hanging_call_does_not_delay_an_interrupted_command(
    start: Callable[..., Any], inventory: Cloud
) -> None:
    inventory.fault("FreezeDevice", "hang", moment="after")
    process = start(
        "freeze", *inventory.free(1), *WHY, "--json", env={"IOTDA_DEADLINE": "60"}
    )
    until(lambda: inventory.journal("FreezeDevice"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=40)
    assert (process.returncode, json.loads(out)["counts"]) == (130, {"unknown": 1})
    assert err.startswith("\n" + PATIENCE)


def test_a_second_interrupt_ends_the_command_at_once() -> None:
    with Interruption() as interruption:
        interruption.patient = True
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.status == 143
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_command_interrupted_before_recording_says_so(
    start: Callable[..., Any], inventory: Cloud
) -> None:
    with start("freeze", "-", *WHY, stdin=subprocess.PIPE) as process:
        until(lambda: reads_stdin(process.pid))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert (
            process.stderr.read()
            == "Interrupted: nothing was recorded and nothing was sent.\n"
        )
    assert not Operation.objects.exists()


def reads_stdin(pid: int) -> bool:
    """Whether it waits in a read of file 0, by the kernel's own word."""
    try:
        with open(f"/proc/{pid}/syscall") as file:
            return file.read().split()[:2] == ["0", "0x0"]
    except (OSError, ValueError):
        return False


def test_a_terminal_shows_the_progress(
    start: Callable[..., Any], inventory: Cloud
) -> None:
    ours, theirs = pty.openpty()
    inventory.fault("FreezeDevice", "latency", seconds=0.2)
    process = start(
        "freeze", *inventory.free(10), *WHY, stderr=theirs, env={"IOTDA_IN_FLIGHT": "1"}
    )
    os.close(theirs)
    out, _none = process.communicate(timeout=30)
    drawn = os.read(ours, 100_000).decode()
    os.close(ours)
    assert f"\r{only()} [--------------------] 0/10" in drawn
    assert re.search(r"\[#+-+\] [1-9]/10", drawn)
    assert drawn.endswith("\r\x1b[K")
    assert out == f"{only()} freeze 10 devices: 10 frozen\n"


def test_a_terminal_shows_what_the_command_waits_for(
    start: Callable[..., Any], inventory: Cloud
) -> None:
    ours, theirs = pty.openpty()
    inventory.fault("FreezeDevice", "throttle", retry_after=60)
    process = start("freeze", *inventory.free(1), *WHY, "--wait", "0.5", stderr=theirs)
    os.close(theirs)
    process.communicate(timeout=30)
    assert re.search(
        r"0/1, IoTDA asks us to slow down: again in \d\d s",
        os.read(ours, 100_000).decode(),
    )
    os.close(ours)


def test_a_device_name_cannot_send_control_codes_to_the_terminal(
    here: Callable[..., Any], inventory: Cloud
) -> None:
    device = inventory.free(1)[0]
    Device.objects.filter(pk=device).update(name="\x1b[2J")
    inventory.call("DELETE", f"devices/{device}")
    _status, out, _err = here("freeze", device, *WHY)
    assert out.endswith(f"{device}  ?[2J\n")


@pytest.mark.parametrize("name", ["freeze", "unfreeze", "bind", "unbind"])
def test_the_help_text_explains_the_command(
    here: Callable[..., Any], name: str
) -> None:
    status, out, err = here(name, "--help")
    assert (status, err) == (0, "")
    for words in (
        "--reason",
        "--ticket",
        "examples:",
        "exit status:",
        f"manage.py {name} ",
    ):
        assert words in out
    assert max(map(len, out.splitlines())) <= 110


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.verb)
def test_every_verb_has_a_command_that_changes_iotda(
    sample: Any, inventory: Cloud
) -> None:
    known = known_objects(inventory)
    words = [known[sample.target], *WHY, *sample.options(known), "--wait", "30"]
    command = Utility([]).fetch_command(sample.about.command)
    with pytest.raises(SystemExit) as end:
        command.run_from_argv(["manage.py", sample.about.command, *words])
    assert end.value.code == 0
    assert Operation.objects.get().verb == sample.verb
    assert [entry["operation"] for entry in write_requests(inventory)] == [
        sample.request
    ]
