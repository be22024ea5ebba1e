"""The bind form keeps the chosen targets of each kind."""

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.cloud import Cloud
from tests.conftest import HTMX

PATH = "/policies/selection.bind/"


def press(admin: Client, button: str, **fields: Any) -> str:
    return admin.post(PATH, fields | {"act": button}, headers=HTMX).text


def hidden(page: str) -> dict[str, str]:
    fields = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page)
    return {name: value for name, value in fields if name != "csrfmiddlewaretoken"}


def pasted(page: str) -> str:
    found = re.search(r"<textarea[^>]*>([^<]*)</textarea>", page)
    return found[1].strip() if found else ""


def is_chosen(page: str, id: str) -> bool:
    return f'name="target" value="{id}" checked' in page


@pytest.mark.parametrize("uploaded", [False, True])
def test_the_targets_of_a_kind_come_back_with_it(
    admin: Client, inventory: Cloud, *, uploaded: bool
) -> None:
    (one, other), product = inventory.free(2), inventory.known_ids["product"]
    read: dict[str, Any] = {"pasted": other}
    if uploaded:
        read = {"upload": SimpleUploadedFile("ids.txt", other.encode())}
    page = press(admin, "kind:product", target_type="device", target=one, **read)
    assert not is_chosen(page, one)
    assert pasted(page) == ""
    assert "only those that you see are bound" in page

    page = press(admin, f"add:{product}", **hidden(page))
    page = press(admin, "kind:app", **hidden(page), target=product)
    page = press(admin, "kind:device", **hidden(page))
    assert is_chosen(page, one)
    assert pasted(page) == other
    assert not is_chosen(page, product)

    page = press(admin, "kind:product", **hidden(page), target=one, pasted=other)
    assert is_chosen(page, product)
    assert not is_chosen(page, one)


def test_only_the_targets_of_the_shown_kind_are_bound(
    admin: Client, inventory: Cloud
) -> None:
    policy, product = (inventory.known_ids[name] for name in ("policy", "product"))
    (one,) = inventory.free(1)
    page = press(admin, "kind:product", target_type="device", target=one, policy=policy)
    about = hidden(page) | {"reason": "Unpaid since March", "policy": policy}
    admin.post(PATH, about | {"target": product, "act": "bind"})
    assert product in inventory.bound(policy, "product")
    assert one not in inventory.bound(policy)


@pytest.mark.parametrize("kind", ["", "nothing", "device\0"])
def test_an_unknown_kind_changes_nothing(
    admin: Client, inventory: Cloud, kind: str
) -> None:
    (one,) = inventory.free(1)
    page = press(admin, f"kind:{kind}", target_type="device", target=one)
    assert is_chosen(page, one)


def test_the_same_kind_again_changes_nothing(admin: Client, inventory: Cloud) -> None:
    (one, other) = inventory.free(2)
    fields = {"target_type": "device", "target": one, "pasted": other}
    page = press(admin, "kind:device", **fields)
    assert is_chosen(page, one)
    assert pasted(page) == other
