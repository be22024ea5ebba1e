"""Lists of IDs as people send them, read over the wire: by page and by command line."""

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from iotda_admin.operations.cli.utility import Utility
from iotda_admin.operations.models import Operation
from tests.cloud import Cloud
from tests.core.workbooks import workbook
from tests.operation_helpers import change_form, run_workers

VALVE, METER, HUB = "7c1e_valve-204", "7c1e_meter-31", "7c1e_hub-9"
BOTH = [VALVE, METER]


def utf_16(text: str) -> bytes:
    return b"\xff\xfe" + text.encode("utf-16-le")


def with_mark(text: str) -> bytes:
    return text.encode("utf-8-sig")


FILES: dict[str, tuple[bytes, list[str]]] = {
    "UTF-16 whose characters contain the bytes of separators": (
        utf_16(f"本名主\tDevice ID\r\n阀门\t{VALVE}\r\n电表\t{METER}\r\n"),
        BOTH,
    ),
    "UTF-16, the other byte order": (
        b"\xfe\xff" + f"device_id\t〻主\n{VALVE}\t本\n".encode("utf-16-be"),
        [VALVE],
    ),
    "UTF-16 without a mark": (f"id\n{VALVE}\n{METER}".encode("utf-16-le"), BOTH),
    "UTF-16 without a mark, the other byte order": (
        f"id;name\n{VALVE};v\n{METER};m\n".encode("utf-16-be"),
        BOTH,
    ),
    "UTF-32": (f"id\n{VALVE}\n".encode("utf-32"), [VALVE]),
    "a Chinese heading alone": (with_mark(f"设备ID\r\n{VALVE}\r\n"), [VALVE]),
    "a Chinese heading in the second column": (
        with_mark(f"位置;设备 ID\r\n北楼;{VALVE}\r\n南楼;{METER}\r\n"),
        BOTH,
    ),
    "a Chinese heading in GB18030": (
        f"位置,设备id（文本）\r\n北楼,{VALVE}\r\n南楼,{METER}\r\n".encode("gb18030"),
        BOTH,
    ),
    "Western text in an old encoding": (
        f"Straße,id\r\n“Süd”,{VALVE}\r\n".encode("cp1252"),
        [VALVE],
    ),
    "a plural heading": (f"Device-IDs\n{VALVE}\n{METER}\n".encode(), BOTH),
    "a heading with a remark": (
        f"Site,device id [text] *\nroof,{VALVE}\ncellar,{METER}\n".encode(),
        BOTH,
    ),
    "a heading in two languages": (
        f"Site,Device ID / 设备ID\nroof,{VALVE}\n".encode(),
        [VALVE],
    ),
    "the exact heading before the general one": (
        f"id,gateway_id,device_id\n1,{HUB},{VALVE}\n2,{HUB},{METER}\n".encode(),
        BOTH,
    ),
    "node IDs": (f"IMEI,Node ID\n1,{VALVE}\n".encode(), [VALVE]),
    "joined exports": (
        f"name,device_id\nv,{VALVE}\nname,device_id\nm,{METER}\n".encode(),
        BOTH,
    ),
    "joined exports, each with a byte order mark": (
        with_mark(f"id\n{VALVE}\n") + with_mark(f"id\n{METER}\n"),
        BOTH,
    ),
    "joined exports, the second with more columns": (
        f"device_id\n{VALVE}\ndevice_id,name\n{METER},m\n".encode(),
        BOTH,
    ),
    "the first line of Excel": (
        f"sep=|\r\nid|name\r\n{VALVE}|v\r\n{METER}|m\r\n".encode(),
        BOTH,
    ),
    "formulas that keep zeros": (
        b'name,id\r\nv,"=""0071"""\r\nm,"=""0072"""\r\n',
        ["0071", "0072"],
    ),
    "a CSV file of ours": (
        b'"id","name","state"\r\n"\'-44_valve","","unknown"\r\n"007","","failed"\r\n',
        ["-44_valve", "007"],
    ),
    "the end of an old text file": (f"{VALVE}\r\n{METER}\r\n\x1a".encode(), BOTH),
    "empty columns": (with_mark(f"id;;\r\n{VALVE};;\r\n{METER};;\r\n"), BOTH),
    "numbers in text": (b"id\r\n0009\r\n2E7\r\n", ["0009", "2E7"]),
    "a list on one long line": (
        ";".join(
            f"7c1e_valve-{n:06}-on-the-long-pipeline" for n in range(3000)
        ).encode(),
        [f"7c1e_valve-{n:06}-on-the-long-pipeline" for n in range(3000)],
    ),
    "JSON objects": (
        f'[{{"gateway_id": "{HUB}", "device_id": "{VALVE}"}}]'.encode(),
        [VALVE],
    ),
    "an Excel sheet": (
        workbook(
            [["Site", "Device ID"], ["roof", VALVE], ["", METER]], [["id"], ["x"]]
        ),
        BOTH,
    ),
    "an Excel sheet with numbers": (
        workbook([["设备ID"], [860123456789012], ["0012"]]),
        ["860123456789012", "0012"],
    ),
}
PASTED: dict[str, tuple[str, list[str]]] = {
    "straight quotes": (f'"{VALVE}" , "{METER}"', BOTH),
    "one pair of quotes": (f'"{VALVE}, {METER}"', BOTH),
    "typographic quotes": (f"„{VALVE}“; »{METER}«", BOTH),
    "Chinese quotes": (f"「{VALVE}」、「{METER}」", BOTH),
    "apostrophes": (f"'{VALVE}'\n'{METER}'", BOTH),
    "a zero-width joiner inside": (f"{VALVE[:4]}\u200d{VALVE[4:]}", [VALVE]),
    "marks of direction": (f"\u202a{VALVE}\u202c\n\u200f{METER}", BOTH),
    "a soft hyphen": (f"{VALVE}\u00ad\n{METER}", BOTH),
    "a hyphen that does not break": (VALVE.replace("-", "\u2011"), [VALVE]),
    "full-width separators": (f"{VALVE}；{METER}，{HUB}", [*BOTH, HUB]),
    "full-width letters and digits": ("７ｃ１ｅ＿valve-204", [VALVE]),
    "ideographic commas": (f"{VALVE}、{METER}、", BOTH),
    "rows of a sheet": (f"{METER}\tMeter 31\n{VALVE}\tValve 204", [METER, VALVE]),
    "one row of a sheet": (f"Valve 204\t{VALVE}", [VALVE]),
    "a mail that was answered twice": (f">> {VALVE}\n>> {METER}\n", BOTH),
    "a table in a mail": (f"> name,id\n> v,{VALVE}\n> m,{METER}\n", BOTH),
    "bullets": (f"• {VALVE}\n• {METER}", BOTH),
    "a list of JSON on lines": (f'[\n  "{VALVE}",\n  "{METER}"\n]', BOTH),
    "a list of JSON, two on each line": (
        f'["{VALVE}", "{METER}",\n "{HUB}", "x1"]',
        [*BOTH, HUB, "x1"],
    ),
    "a list of Python": (f"['{VALVE}', '{METER}']", BOTH),
    "blanks of other scripts": (f"\u3000{VALVE}\u00a0\n\u2003{METER}", BOTH),
    "line separators": (f"{VALVE}\u2028{METER}", BOTH),
}
# Each with words that the refusal says: the columns, or the value.
REFUSED: dict[str, tuple[bytes, str]] = {
    "an unknown heading": (
        f"Label,Device Key\nv1,{VALVE}\nm1,{METER}\n".encode(),
        "“Label”, “Device Key”",
    ),
    "a gateway and its child": (
        f"gateway_id,child_device\n{HUB},{VALVE}\n{HUB},{METER}\n".encode(),
        "“gateway_id”, “child_device”",
    ),
    "a heading with an unknown remark": (
        f"ID (gateway),note\n{HUB},x1\n{HUB},x2\n".encode(),
        "“ID (gateway)”, “note”",
    ),
    "a heading twice": (f"id,id\n{HUB},{VALVE}\n".encode(), "“id”, “id”"),
    "two columns without a heading": (
        f"{HUB};{VALVE}\n{HUB};{METER}\n".encode(),
        f"{HUB} | {METER}",
    ),
    "rows of different length": (f"{HUB},{VALVE}\n{METER}\n".encode(), METER),
    "two columns in a later row": (f"{HUB}\n{VALVE},{METER}\n".encode(), METER),
    "IDs that begin in the second column": (
        f"north,\n,{VALVE}\n".encode(),
        "“north”",
    ),
    "a column of lists": (f"{HUB}\t{VALVE};{METER}\n".encode(), HUB),
    "one row of two cells": (f"{HUB}\t{VALVE}".encode(), HUB),
    "one row after Excel's first line": (f"sep=;\r\n{HUB};{VALVE}\r\n".encode(), HUB),
    "an unknown heading alone": (f"Serial\n{VALVE}\n{METER}\n".encode(), "“Serial”"),
    "an unknown Chinese heading": (
        with_mark(f"序列号\n{VALVE}\n{METER}\n"),
        "“序列号”",
    ),
    "a heading that a name column repeats": (
        f"Hub,Display name\n{HUB},Hub 9\nx7,Hub 7\n".encode(),
        "“Hub”, “Display name”",
    ),
    "joined exports with other columns": (
        f"device_id,name\n{VALVE},v\nname,device_id\nm,{METER}\n".encode(),
        "Line 3 is a heading with the IDs in another column",
    ),
    "a rounded number": (f"id\n{VALVE}\n8.60123E+14\n".encode(), "8.60123E+14"),
    "a rounded number of Excel": (
        workbook([["id"], [8601234567890123]]),
        "8.60123E+15",
    ),
    "JSON of two columns": (f'[["{HUB}", "{VALVE}"]]'.encode(), HUB),
    "JSON cut short": (f'[["{HUB}", "{VALVE}"], ["{HUB}"'.encode(), "JSON"),
    "an Excel sheet of two columns": (
        workbook([["hub", "x"], [HUB, VALVE]]),
        "“hub”, “x”",
    ),
    "one row of an Excel sheet": (workbook([[HUB, VALVE]]), HUB),
    "a letter that looks alike": (
        f"id\n{VALVE.replace('e', 'е')}\n".encode(),
        "CYRILLIC SMALL LETTER IE",
    ),
    "Excel without its end": (workbook([["id"], [VALVE]])[:-40], "damaged"),
}


type Send = Callable[[bytes | str], str]


@pytest.fixture
def by_page(admin: Client, inventory: Cloud) -> Send:
    """Send a list by the form; return what it answers if it refuses."""

    def send(given: bytes | str) -> str:
        if isinstance(given, bytes):
            form = change_form(upload=SimpleUploadedFile("ids.csv", given))
        else:
            form = change_form(pasted=given)
        response = admin.post("/devices/selection.unfreeze/", form)
        assert response.status_code in (302, 422)
        return response.text.replace("&#x27;", "'").replace("&quot;", '"')

    return send


@pytest.fixture
def command_line(
    inventory: Cloud,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[Any, str]]:
    """Send a file, or text by standard input; return the status and the complaint."""

    def send(given: bytes | str, *options: str) -> tuple[Any, str]:
        words = ["--reason", "moved", "--ticket", "INC-7", "--wait", "0", *options]
        if isinstance(given, bytes):
            (tmp_path / "ids").write_bytes(given)
            words += ["--file", str(tmp_path / "ids")]
        else:
            stdin = io.TextIOWrapper(io.BytesIO(given.encode()))
            monkeypatch.setattr(sys, "stdin", stdin)
            words += ["-"]
        command = Utility([]).fetch_command("unfreeze")
        with pytest.raises(SystemExit) as end:
            command.run_from_argv(["manage.py", "unfreeze", *words])
        return end.value.code, capsys.readouterr().err

    return send


@pytest.fixture
def by_command(command_line: Callable[..., tuple[Any, str]]) -> Send:
    def send(given: bytes | str) -> str:
        status, err = command_line(given)
        assert status in (0, 2)
        return err

    return send


@pytest.fixture(params=["by_page", "by_command"])
def send(request: pytest.FixtureRequest) -> Iterator[Any]:
    return request.getfixturevalue(request.param)


def recorded() -> list[str]:
    targets = Operation.objects.get().targets.all()
    return sorted(targets.values_list("target_id", flat=True))


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("data", "ids"), FILES.values(), ids=FILES)
def test_a_file_is_read_as_it_is_meant(send: Send, data: bytes, ids: list[str]) -> None:
    send(data)
    assert recorded() == sorted(ids)


@pytest.mark.parametrize(("text", "ids"), PASTED.values(), ids=PASTED)
def test_pasted_text_is_read_as_it_is_meant(
    send: Send, text: str, ids: list[str]
) -> None:
    send(text)
    assert recorded() == sorted(ids)


@pytest.mark.parametrize(("data", "says"), REFUSED.values(), ids=REFUSED)
def test_an_unclear_list_is_refused_with_its_columns(
    send: Send, data: bytes, says: str
) -> None:
    assert says in send(data)
    assert not Operation.objects.exists()


def test_the_page_asks_for_the_column_and_keeps_the_file(
    admin: Client, inventory: Cloud
) -> None:
    data = SimpleUploadedFile("a.csv", f"Hub,Valve key\n{HUB},{VALVE}\n".encode())
    asked = admin.post("/devices/selection.freeze/", {"upload": data})
    assert asked.status_code == 422
    assert asked.text.count('type="radio" name="column"') == 2
    assert 'name="heading" value="1" checked' in asked.text
    kept = f"Hub,Valve key\n{HUB},{VALVE}"
    assert kept in asked.text
    form = change_form(pasted=kept, column="2", heading="1")
    admin.post("/devices/selection.freeze/", form)
    assert recorded() == [VALVE]


def test_a_chosen_column_without_a_heading_begins_in_the_first_row(
    admin: Client, inventory: Cloud
) -> None:
    form = change_form(pasted=f"{HUB};{VALVE}\n{HUB};{METER}\n", column="2")
    admin.post("/devices/selection.freeze/", form)
    assert recorded() == sorted(BOTH)


def test_a_confirmed_list_whose_first_id_could_be_a_heading_is_not_asked_for_again(
    admin: Client, inventory: Cloud
) -> None:
    ids = ["main", *(f"valve-{n}" for n in range(60))]
    form = {"pasted": "\n".join(ids), "column": "1"}
    page = admin.post("/devices/selection.freeze/", form)
    assert page.status_code == 200
    sent = page.context["selection"].text
    admin.post("/devices/selection.freeze/", change_form(pasted=sent))
    assert recorded() == sorted(ids)


@pytest.mark.parametrize(
    ("data", "column", "ids"),
    [
        (f"Hub,Valve Key\n{HUB},{VALVE}\n", "valve key", [VALVE]),
        (f"Hub,Valve Key\n{HUB},{VALVE}\n", "Hub", [HUB]),
        (f"{HUB}\t{VALVE}\n{HUB}\t{METER}\n", "2", BOTH),
        (f"Serial\n{VALVE}\n", "Serial", [VALVE]),
        (f"Serial\n{VALVE}\n", "1", ["Serial", VALVE]),
        (f"2,1\n{HUB},{VALVE}\n", "1", [VALVE]),
        (f"阀门;device_id\n{VALVE};{HUB}\n", "阀门", [VALVE]),
    ],
)
def test_a_command_takes_the_named_column(
    inventory: Cloud,
    command_line: Callable[..., Any],
    data: str,
    column: str,
    ids: list[str],
) -> None:
    status, _err = command_line(data.encode(), "--column", column)
    assert (status, recorded()) == (0, sorted(ids))


@pytest.mark.parametrize("column", ["Valve", "3", "0", "-1"])
def test_a_command_refuses_a_column_that_is_not_there(
    inventory: Cloud, command_line: Callable[..., Any], column: str
) -> None:
    data = f"Hub,Valve Key\n{HUB},{VALVE}\n".encode()
    status, err = command_line(data, f"--column={column}")
    assert status == 2
    assert f"No single column is named “{column}”" in err
    assert '--column "Valve Key"' in err
    assert not Operation.objects.exists()


def test_every_csv_file_of_ours_is_read_back(admin: Client, inventory: Cloud) -> None:
    ids = ["-7c1e_gone", "7c1e_gone", "0071"]
    admin.post("/devices/selection.freeze/", change_form(target=ids))
    run_workers()
    operation = Operation.objects.get()
    failures = admin.get(f"{operation.get_absolute_url()}failures.csv").getvalue()
    trail = admin.get("/audit/export.csv").getvalue()
    for data in (failures, trail):
        form = {"upload": SimpleUploadedFile("a.csv", data)}
        page = admin.post("/devices/selection.freeze/", form)
        assert page.status_code == 200
        assert sorted(page.context["selection"].changing) == sorted(ids)
