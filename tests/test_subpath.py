"""The site works under a path, by WSGI's SCRIPT_NAME."""

import re
from typing import Any

import pytest
from django.test import Client
from django.test.client import ClientHandler
from django.urls import set_script_prefix
from pytest_django import Settings

from tests.cloud import Cloud
from tests.conftest import HTMX, signed_in
from tests.operation_helpers import change_form

PREFIX = "/iotda"
ADDRESS = re.compile(
    r'\b(?:href|src|action|formaction|hx-\w+|data-\w+|value)="(/[^"]*)"'
)
PAGES = [
    "/", "/devices/", "/devices/{device}/", "/devices/{device}/freeze/", "/policies/", "/policies/{policy}/",
    "/policies/{policy}/bind/", "/operations/", "/failures/", "/audit/", "/accounts/password/", "/admin/",
    "/nowhere/",
]  # fmt: skip


class HandlerUnderPrefix(ClientHandler):
    """Sets the prefix for each request, as Django's WSGI handler does."""

    def __call__(self, environ: Any) -> Any:
        set_script_prefix(f"{PREFIX}/")
        try:
            return super().__call__(environ)
        finally:
            set_script_prefix("/")


def move(client: Client) -> Client:
    client.handler = HandlerUnderPrefix(enforce_csrf_checks=False)
    client.defaults["SCRIPT_NAME"] = PREFIX
    return client


@pytest.fixture
def visitor(db: None) -> Client:
    return move(Client())


@pytest.fixture
def user(db: None) -> Client:
    return move(signed_in("admin"))


def test_all_addresses_of_a_page_are_under_the_prefix(
    user: Client, inventory: Cloud
) -> None:
    known = {
        key: inventory.known_ids[name]
        for key, name in {"device": "online", "policy": "policy"}.items()
    }
    for page in PAGES:
        for headers in ({}, HTMX):
            text = user.get(page.format(**known), headers=headers).text
            found = ADDRESS.findall(text)
            assert found or headers, page
            assert [at for at in found if not at.startswith(f"{PREFIX}/")] == [], page


def test_a_static_file_is_found_under_the_prefix(
    visitor: Client, settings: Settings
) -> None:
    settings.WHITENOISE_USE_FINDERS = True
    files = re.findall(r'"/iotda(/static/[^"]+)"', visitor.get("/accounts/login/").text)
    endings = [file.rpartition(".")[2] for file in files]
    assert sorted(endings) == ["css", "js", "js", "svg"]
    for file in files:
        answer = visitor.get(file)
        answer.close()
        assert answer.status_code == 200, file


def test_signing_in_leads_to_the_overview(visitor: Client, admin: Client) -> None:
    fields = {"username": "admin", "password": "a-password-1"}
    answer = visitor.post("/accounts/login/", fields)
    assert answer.headers["Location"] == "/iotda/"


def test_a_page_without_a_session_leads_to_sign_in_and_back(visitor: Client) -> None:
    answer = visitor.get("/devices/?q=a")
    login = "/iotda/accounts/login/?next=/iotda/devices/%3Fq%3Da"
    assert answer.headers["Location"] == login
    answer = visitor.get("/devices/", headers=HTMX)
    assert answer.headers["HX-Redirect"].endswith("?next=/iotda/")


def test_a_change_leads_to_its_operation(user: Client, inventory: Cloud) -> None:
    device = inventory.known_ids["online"]
    answer = user.post(f"/devices/{device}/freeze/", change_form())
    assert answer.headers["Location"].startswith("/iotda/operations/")
    answer = user.post("/inventory/refresh/", {"next": "//evil.example"})
    assert answer.headers["Location"] == "/iotda/"
