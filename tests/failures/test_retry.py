"""Retry from the list: one linked operation for each that the failures come from."""

import re

from iotda_admin.operations.execution.executor import execute_chunk
from iotda_admin.operations.models import Operation
from iotda_admin.rate.connection import client
from tests.asking import KEY, asked, states, work, writes


def failures(*operations):
    return {
        "target": [target.pk for each in operations for target in each.targets.all()]
    }


def refused(do, inventory, device):
    """A freeze that IoTDA rejected once."""
    inventory.fault(
        "FreezeDevice", "status", status=400, error_code="IOTDA.000006", error_msg="No."
    )
    operation = do("device.freeze", device)
    inventory.heal()
    return operation


def newest(n):
    return list(Operation.objects.order_by("-pk")[:n])


def test_a_retry_takes_a_reason_and_is_shown_on_the_list(me, full, inventory):
    text = me.post("/failures/retry/", failures(full), follow=True).text
    assert re.search(r"Retry 1 target\s*<", text)
    assert 'value="INC-7"' in text
    page = me.post("/failures/retry/", asked(**failures(full)), follow=True)
    (made,) = newest(1)
    assert (made.retry_of, made.reason, made.ticket) == (
        full,
        "billing dispute",
        "INC-1",
    )
    assert f">{made}</a>: 1 failed" in " ".join(page.text.split())


def test_each_operation_gets_a_retry_of_its_own(me, do, full, inventory):
    other = refused(do, inventory, inventory.free(1)[0])
    me.post("/failures/retry/", asked(**failures(full, other)))
    made = newest(2)
    assert {each.retry_of for each in made} == {full, other}
    work()
    assert {each.retry_of: set(states(each).values()) for each in made} == {
        full: {"failed"},
        other: {"ok"},
    }


def test_only_selected_targets_are_retried(me, do):
    operation = do("policy.bind", "nobody-1", "nobody-2")
    me.post(
        "/failures/retry/",
        asked(
            only=operation.targets.get(target_id="nobody-1").pk, **failures(operation)
        ),
    )
    assert states(newest(1)[0]).keys() == {"nobody-1"}


def test_targets_that_cannot_succeed_are_left_out_with_the_reason(me, do, inventory):
    operation = do("device.freeze", inventory.known_ids["child"])
    text = me.post("/failures/retry/", failures(operation), follow=True).text
    assert "This device is behind a gateway." in text
    assert "A retry cannot help any of these." in text
    before = len(writes(inventory))
    assert me.post("/failures/retry/", asked(**failures(operation))).status_code == 422
    assert len(writes(inventory)) == before


def test_a_running_operation_is_not_retried(me, do):
    operation = do("policy.bind", *(f"nobody-{n}" for n in range(21)))
    execute_chunk(operation.chunks.first(), client())
    failed = operation.targets.filter(state="failed")[:1]
    chosen = {"target": [each.pk for each in failed]}
    assert "still running" in me.post("/failures/retry/", chosen, follow=True).text


def test_a_retry_without_a_reason_is_rejected(me, full, inventory):
    before = len(writes(inventory))
    page = me.post("/failures/retry/", asked(reason=" ", **failures(full)))
    assert page.status_code == 422
    assert re.search(r'name="target" value="\d+"', page.text)
    assert len(writes(inventory)) == before


def test_a_form_sent_twice_is_one_retry(me, full):
    for _ in range(2):
        me.post("/failures/retry/", asked(**failures(full)))
    assert Operation.objects.filter(retry_of=full).count() == 1


def test_a_role_without_the_verb_cannot_retry(policyadmin, do, inventory):
    operation = refused(do, inventory, inventory.free(1)[0])
    page = policyadmin.post("/failures/retry/", failures(operation), follow=True)
    assert "Your role does not allow this." in page.text
    policyadmin.post("/failures/retry/", asked(key=KEY, **failures(operation)))
    assert newest(1) == [operation]
