"""Search boxes find what is pasted with quotes, marks and full-width signs."""

import pytest
from django.test import Client

from devices.models import Device, Product
from iotda_admin.core.tidy import tidy
from tests.cloud import Cloud
from tests.operation_helpers import change_form

COPIED = {
    "“{}”": "typographic quotes",
    '="{}"': "a formula",
    "\u200b{}\u200e": "invisible marks",
    "\u3000{}\u00a0": "other blanks",
    "> {},": "a quoted mail",
}


@pytest.mark.parametrize("copied", COPIED, ids=COPIED.values())
def test_tidy_removes_what_no_id_has(copied: str) -> None:
    assert tidy(copied.format("-7c_valve")) == "-7c_valve"


@pytest.mark.parametrize("copied", COPIED, ids=COPIED.values())
def test_the_list_of_devices_finds_a_copied_id(
    viewer: Client, inventory: Cloud, copied: str
) -> None:
    device, other = inventory.free(2)
    page = viewer.get("/devices/", {"q": copied.format(device)}).text
    assert f"/devices/{device}/" in page
    assert f"/devices/{other}/" not in page


def test_a_name_with_full_width_signs_is_found_as_typed(
    viewer: Client, inventory: Cloud
) -> None:
    device = Device.objects.get(pk=inventory.free(1)[0])
    device.name = "泵（北），一号"
    device.save()
    assert f"/devices/{device.pk}/" in viewer.get("/devices/", {"q": "（北），"}).text


@pytest.mark.parametrize("copied", COPIED, ids=COPIED.values())
def test_the_picker_of_targets_finds_a_copied_id(
    policyadmin: Client, inventory: Cloud, copied: str
) -> None:
    product = Product.objects.all()[0]
    form = {"act": "find", "target_type": "product", "q": copied.format(product.pk)}
    page = policyadmin.post("/policies/selection.bind/", form).text
    assert f'value="add:{product.pk}"' in page


@pytest.mark.parametrize("copied", COPIED, ids=COPIED.values())
def test_the_trail_and_the_failures_find_a_copied_id(
    admin: Client, inventory: Cloud, copied: str
) -> None:
    gone, other = "7c1e_gone-1", "7c1e_gone-2"
    for device in (gone, other):
        admin.post("/devices/selection.freeze/", change_form(target=device))
    for url, name in [("/audit/", "target"), ("/failures/", "target")]:
        page = admin.get(url, {name: copied.format(gone)}).text
        assert (gone in page, other in page) == (True, False)
