"""The same replacement requested twice, by one user or by two."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection as database
from django.test import Client

from iotda_admin.operations.models import Operation
from tests.cloud import Cloud
from tests.operation_helpers import (
    OTHER_KEY,
    change_form,
)
from tests.policies.replacement.conftest import on_target, page_of, pair, sent


def test_the_same_form_twice_is_one_replacement(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    form = change_form(unbind=on_target(inventory, failed)[0])
    first, second = me.post(page_of(failed), form), me.post(page_of(failed), form)
    assert first["Location"] == second["Location"] == failed.get_absolute_url()
    assert Operation.objects.count() == 3
    assert len(sent(inventory, 1)) == 2


@pytest.mark.django_db(transaction=True)
def test_ten_posts_of_one_form_are_one_replacement(
    transactional_db: None, me: Client, failed: Operation, inventory: Cloud
) -> None:
    form = change_form(unbind=on_target(inventory, failed)[0])

    def post(_n: int) -> int:
        client = Client()
        client.cookies = me.cookies
        try:
            return client.post(page_of(failed), form).status_code
        finally:
            database.close()

    with ThreadPoolExecutor(5) as pool:
        statuses = list(pool.map(post, range(10)))
    assert 302 in statuses
    assert set(statuses) <= {302, 409}
    assert Operation.objects.count() == 3
    assert len(sent(inventory, 1)) == 2


def test_the_same_key_with_another_policy_is_rejected(
    me: Client, failed: Operation, inventory: Cloud
) -> None:
    first, second, *_rest = on_target(inventory, failed)
    me.post(page_of(failed), change_form(unbind=first))
    response = me.post(page_of(failed), change_form(unbind=second))
    assert response.status_code == 409
    assert f"already sent as {pair()[0]}" in response.text
    assert second in on_target(inventory, failed)


def test_two_users_replace_once(
    me: Client, policyadmin: Client, failed: Operation, inventory: Cloud
) -> None:
    first, second, *_rest = on_target(inventory, failed)
    inventory.fault("UnbindDevicePolicy", "throttle", retry_after=60)
    me.post(page_of(failed), change_form(unbind=first))
    form = change_form(unbind=second, key=OTHER_KEY)
    response = policyadmin.post(page_of(failed), form)
    assert response.status_code == 409
    assert f"{pair()[1]} by admin has been changing" in response.text
    assert Operation.objects.count() == 3
