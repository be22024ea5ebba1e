"""Very many targets: pasted or uploaded, checked first, rejected beyond the limit."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from iotda_admin.operations.models import Operation
from tests.cloud import Cloud
from tests.operation_helpers import bind_form, change_form, target_states

MANY = [f"device_{n:05d}" for n in range(3000)]
BIND = "/policies/selection.bind/"


def file(text: Any) -> SimpleUploadedFile:
    return SimpleUploadedFile("ids.csv", text.encode())


def test_the_ids_of_an_uploaded_file_are_bound(
    policyadmin: Client, inventory: Cloud
) -> None:
    one, two = inventory.free(2)
    form = bind_form(
        inventory.known_ids["policy"],
        upload=file(f"name,device_id\npump,{one}\nfan,{two}\n"),
    )
    policyadmin.post(BIND, form)
    assert target_states(Operation.objects.get()) == {one: "ok", two: "ok"}


def test_the_check_counts_known_targets_and_keeps_the_ids_of_a_file(
    policyadmin: Client, inventory: Cloud
) -> None:
    known, full = inventory.free(1)[0], inventory.known_ids["full"]
    ids = "\n".join([known, full, full, *MANY])
    form = bind_form(inventory.known_ids["policy"], act="check", upload=file(ids))
    text = policyadmin.post(BIND, form).text
    for words in (
        "3,002 targets",
        "1 will change",
        "3,000 not in the inventory",
        "1 cannot change",
        "has its five policies already",
        "1 duplicate ID",
    ):
        assert words in text
    assert text.count(MANY[2000]) == 1
    assert not Operation.objects.exists()


@pytest.mark.parametrize("how", ["pasted", "upload"])
def test_more_than_the_limit_is_413_and_nothing_is_recorded(
    policyadmin: Client,
    operator: Client,
    inventory: Cloud,
    settings: Settings,
    how: str,
) -> None:
    settings.TARGETS_LIMIT = 100
    text = "\n".join(MANY[:101])
    given = {how: file(text) if how == "upload" else text}
    bound = policyadmin.post(BIND, bind_form(inventory.known_ids["policy"], **given))
    given = {how: file(text) if how == "upload" else text}
    frozen = operator.post("/devices/selection.freeze/", change_form(**given))
    assert [bound.status_code, frozen.status_code] == [413, 413]
    assert "more than 100 IDs" in bound.text
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    "headers", [{"CONTENT_LENGTH": "50000000"}, {"HTTP_TRANSFER_ENCODING": "chunked"}]
)
def test_a_too_large_body_is_rejected_unread(
    policyadmin: Client, cloud: Cloud, headers: dict[str, Any]
) -> None:
    response = policyadmin.post(BIND, {"act": "find"}, **headers)
    assert response.status_code == 413
    assert "up to 100,000 targets" in response.text


def test_a_repeated_form_reads_nothing_from_iotda(
    policyadmin: Client, inventory: Cloud
) -> None:
    form = bind_form(inventory.known_ids["policy"], *inventory.free(2))
    policyadmin.post(BIND, form)
    calls = len(inventory.journal())
    assert (
        policyadmin.post(BIND, form)["Location"]
        == Operation.objects.get().get_absolute_url()
    )
    assert len(inventory.journal()) == calls


def test_a_long_list_of_devices_is_shortened_and_sent_in_one_field(
    admin: Client, inventory: Cloud
) -> None:
    text = admin.post(
        "/devices/selection.freeze/", {"pasted": "\n".join(MANY), "upload": ""}
    ).text
    assert "Freeze 3,000 devices" in text
    assert "The first 50 of 3,000" in text
    assert text.count('<input type="hidden" name="target"') == 0
    assert text.count(MANY[2000]) == 1


def test_an_invalid_list_of_devices_redirects_back(
    operator: Client, inventory: Cloud
) -> None:
    response = operator.post("/devices/selection.freeze/", {"pasted": "good\nbad one"})
    assert response.status_code == 422
    assert "Line 2: “bad one” is not an ID" in response.text
    assert 'name="pasted"' in response.text
