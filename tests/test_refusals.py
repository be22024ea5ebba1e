import sqlite3
from contextlib import closing
from typing import Any

import pytest
from django.conf import settings
from django.db import connection as database
from django.test import Client
from pytest_django import Settings

from tests.cloud import Cloud
from tests.conftest import HTMX
from tests.operation_helpers import (
    bind_form,
    change_form,
    make_iotda_unreachable,
    write_requests,
)


def test_a_paste_that_is_too_large_is_rejected_with_the_limit(
    policyadmin: Client, settings: Settings, cloud: Cloud
) -> None:
    response = policyadmin.post(
        "/policies/selection.bind/", {"pasted": "device-1\n" * 2_000_000}
    )
    assert response.status_code == 413
    assert "up to 100,000 targets, pasted as up to 14 MB" in response.text
    assert cloud.journal() == []


def test_a_form_with_too_many_fields_is_rejected(policyadmin: Client) -> None:
    form = "&".join(["target=d"] * 102_000)
    response = policyadmin.generic(
        "POST", "/policies/selection.bind/", form, "application/x-www-form-urlencoded"
    )
    assert response.status_code == 413


BOUNDARY = b"--b"
FILE = (
    BOUNDARY
    + b'\r\nContent-Disposition: form-data; name="t"; filename="a.csv"\r\n\r\nx\r\n'
)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (FILE * 6, 413),  # more files than any form has
        (
            BOUNDARY + b"\r\n" + b"X-A: b\r\n" * 50_000 + b"\r\nx",
            400,
        ),  # nothing but headers
        (
            BOUNDARY
            + b'\r\nContent-Disposition: form-data; name="'
            + b"n" * 200_000
            + b'"\r\n\r\nx',
            400,
        ),
        (
            BOUNDARY
            + b"\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n" * 200,
            200,
        ),
        (b"", 200),
        (b"\0" * 5_000, 400),
    ],
)
def test_a_malicious_form_is_rejected(
    policyadmin: Client, cloud: Cloud, body: Any, status: int
) -> None:
    kind = "multipart/form-data; boundary=b"
    answer = policyadmin.generic("POST", "/policies/selection.bind/", body, kind)
    assert answer.status_code == status
    assert cloud.journal() == []


def test_a_rejected_fragment_fills_the_alert_of_the_page(
    viewer: Client, inventory: Cloud
) -> None:
    response = viewer.get(
        f"/devices/{inventory.known_ids['online']}/freeze/", headers=HTMX
    )
    assert response.status_code == 403
    assert response["HX-Retarget"] == "#alert"
    assert "<" not in response.text


def test_a_wrong_host_is_a_bad_request(client: Client) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_it_answers_502_when_iotda_is_down(
    operator: Client, policyadmin: Client, inventory: Cloud, settings: Settings
) -> None:
    device = inventory.known_ids["online"]
    policy = inventory.known_ids["policy"]
    make_iotda_unreachable(settings)
    frozen = operator.post(f"/devices/{device}/freeze/", change_form())
    bound = policyadmin.post(
        "/policies/selection.bind/", bind_form(policy, device, other_space="on")
    )
    unbound = policyadmin.post(
        f"/policies/{policy}/unbind/",
        change_form(target_type="device", target=device, key="f" * 32),
    )
    assert [frozen.status_code, bound.status_code, unbound.status_code] == [
        502,
        502,
        502,
    ]
    assert "Nothing was sent" in unbound.text


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(
    "sqlite3" not in str(settings.DATABASES["default"]["ENGINE"]),
    reason="locks SQLite's file",
)
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_locked_database_is_a_503(
    transactional_db: None, operator: Client, inventory: Cloud, headers: Any
) -> None:
    device = inventory.known_ids["online"]
    path = database.settings_dict["NAME"]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with database.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 1")
        response = operator.post(
            f"/devices/{device}/freeze/", change_form(), headers=headers
        )
        other.execute("ROLLBACK")
    database.close()
    assert response.status_code == 503
    assert "Our database did not answer in time" in response.text
    assert write_requests(inventory) == []
