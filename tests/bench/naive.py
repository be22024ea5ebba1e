"""Controls: simple executors in the product's processes, on its tables."""

import json
import sys
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402 - after setup()

from iotda_admin.access.actor import Actor  # noqa: E402 - after setup()
from iotda_admin.operations.models import Chunk, Operation, Target  # noqa: E402 - after setup()
from iotda_admin.rate.connection import client  # noqa: E402 - after setup()
from tests.operation_helpers import create  # noqa: E402 - after setup()


def asked(ids: Sequence[str], policy: str) -> Operation:
    actor = Actor(User.objects.get(username="policyadmin"), "policy admin", "bench")
    return create("policy.bind", ids, actor, key=uuid.uuid4().hex, policy_id=policy)


def save_each(chunk: Chunk) -> None:
    """Save each target by itself."""
    targets = sent(chunk)
    for target in targets:
        target.state = Target.State.OK
        target.save()


def count_all(chunk: Chunk) -> None:
    """Load all targets after each call to count those left."""
    ids = [target.pk for target in sent(chunk)]
    Target.objects.filter(pk__in=ids).update(state=Target.State.OK)
    sum(
        target.state == Target.State.OK
        for target in Target.objects.filter(operation=chunk.operation_id)
    )


def sent(chunk: Chunk) -> list[Target]:
    targets = list(chunk.targets.all())
    client().bind_device_policy(
        chunk.operation.policy_id, "device", [one.target_id for one in targets]
    )
    return targets


WAYS: dict[str, Callable[[Chunk], None]] = {
    "save_each": save_each,
    "count_all": count_all,
}


def main(way: str, policy: str, conc: str) -> None:
    ids = json.load(sys.stdin)
    began = perf_counter()
    operation = asked(ids, policy)
    with ThreadPoolExecutor(int(conc)) as pool:
        list(pool.map(WAYS[way], operation.chunks.select_related("operation")))
    print(perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
