"""Statements about very many rows."""

import pytest
from django.db import connection

from devices.models import Device, Product
from iotda_admin.core.bulk_sql import among, insert_rows, values_of_rows
from iotda_admin.operations.requests import OperationRequest
from policies.models import Binding
from policies.targets import bindings_of

WORDS = ["a", 'quo"te', "it's", "a,b", "{x}", "back\\slash", "ünï", "%s", "NULL", ""]


@pytest.mark.django_db
def test_among_finds_texts_with_any_character() -> None:
    insert_rows(Product(), ["product_id"], [(word,) for word in WORDS])
    rows = Product.objects.order_by()
    assert rows.filter(among("pk", [*WORDS, "other"])).count() == len(WORDS)
    assert not rows.filter(among("pk", [])).exists()
    assert rows.exclude(among("pk", WORDS[1:])).get().pk == "a"


@pytest.mark.django_db
@pytest.mark.parametrize("analyzed", [False, True])
def test_the_bindings_of_many_targets_are_not_looked_up_one_by_one(
    analyzed: bool,
) -> None:
    ids = [f"device-{n:05d}" for n in range(20_000)]
    template = Binding(policy_id="p", target_type="device")
    insert_rows(template, ["target_id"], [(id,) for id in ids])
    if analyzed:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE policies_binding")
    about = OperationRequest.preview(
        "policy.unbind", ids, target_type="device", policy_id="p"
    )
    found = bindings_of(about, ids)
    assert found.count() == len(ids)
    if connection.vendor == "postgresql":
        assert "Nested Loop" not in found.explain()


@pytest.mark.usefixtures("inventory")
def test_the_values_of_rows_are_those_that_django_reads() -> None:
    rows = Device.objects.order_by("pk")
    names = ["pk", *(field.name for field in Device._meta.concrete_fields)]
    assert [*map(tuple, values_of_rows(rows, names))] == [*rows.values_list(*names)]
    assert not [*values_of_rows(rows.filter(pk="-"), names)]
