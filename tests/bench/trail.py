"""A long trail, as after years of use: a valid chain, made by the product."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import Any, NamedTuple

from django.db import connection, transaction

from iotda_admin.audit import chain
from iotda_admin.audit.head import Head, chain_head
from iotda_admin.audit.models import Event, Outcome, ReasonWord
from iotda_admin.audit.search.words import reason_words
from tests.bench.questions import (
    CODE,
    CODES,
    DEVICE,
    NEEDLES,
    POLICIES,
    TICKET,
    WATCHER,
    WORD,
)

BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
A_WEEK = timedelta(weeks=1)
TOGETHER = 5_000
ACTORS = [f"agent{n}" for n in range(30)]
REASONS = [
    "Unpaid since March",
    "Leaks data, see the report",
    "Lost by the customer",
    "欠费停机",
    "Bill was paid",
]
VERBS = ["device.freeze", "device.unfreeze", "policy.bind", "policy.unbind"]


class EventTarget(NamedTuple):
    id: str
    name: str = ""
    outcome: str = ""
    code: str = ""
    message: str = ""


type Draft = tuple[dict[str, Any], list[EventTarget]]


def fill(size: int) -> None:
    """Extend the trail to this size."""
    have = chain_head()
    drafts = islice(events(), have.seq, size)
    while some := list(islice(drafts, TOGETHER)):
        with transaction.atomic():
            have = append(have, some)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # A test runs in a transaction, which cannot vacuum.
            cursor.execute(
                "ANALYZE" if connection.in_atomic_block else "VACUUM ANALYZE"
            )


def events() -> Iterator[Draft]:
    """Yield the events of the trail, the same each time."""
    number = 0
    while True:
        number += 1
        rng = Random(number)
        yield from signing_in(rng) if number % 7 == 0 else operation(rng, number)


def signing_in(rng: Random) -> Iterator[Draft]:
    who = WATCHER if rng.random() < 0.2 else rng.choice(ACTORS)
    facts = {
        "actor_id": 1000 + len(who),
        "actor_name": who,
        "role": "auditor",
        "source": "web",
        "address": "10.0.0.7",
    }
    yield {"kind": "login.failed" if rng.random() < 0.1 else "login", **facts}, []
    yield {"kind": "logout", **facts}, []


def operation(rng: Random, number: int) -> Iterator[Draft]:
    needle = number <= NEEDLES
    verb = "device.freeze" if needle else rng.choices(VERBS, [40, 25, 25, 10])[0]
    policy = rng.choice(POLICIES) if verb.startswith("policy") else ("", "")
    whole = verb == "policy.bind" and rng.random() < 0.02
    who = ACTORS[min(int(rng.expovariate(0.15)), len(ACTORS) - 1)]
    targets = (
        [EventTarget(DEVICE, "Needle")]
        if needle
        else touched(rng, 1 if whole else rng.choices([1, 5], [4, 1])[0])
    )
    facts = {
        "actor_id": ACTORS.index(who) + 1,
        "actor_name": who,
        "role": "operator",
        "source": rng.choices(["web", "cli"], [9, 1])[0],
        "address": "10.0.0.8",
        "operation": number,
        "verb": verb,
        "policy_id": policy[0],
        "policy_name": policy[1],
        "target_type": "app" if whole else "device",
        "space": f"space{rng.randrange(8)}",
        "summary": f"{verb} {len(targets)} x device",
        "reason": f"{WORD} in the hay"
        if needle
        else f"{rng.choice(REASONS)} {number % 1000}",
        "ticket": TICKET if needle else f"INC-{number}",
    }
    yield {**facts, "kind": "operation.asked"}, targets
    yield {**facts, "kind": "chunk.sent", "chunk": 0, "attempt": 1}, targets
    said = [ended(rng, target, needle) for target in targets]
    yield (
        {
            **facts,
            "kind": "chunk.answered",
            "chunk": 0,
            "attempt": 1,
            "upstream_id": f"{number:032x}",
        },
        said,
    )
    yield {**facts, "kind": "operation.ended", "outcome": f"{len(said)} ended"}, []


def touched(rng: Random, count: int) -> list[EventTarget]:
    return [
        EventTarget(f"5f0a9c_device-{rng.randrange(20_000)}", "Lamp")
        for _ in range(count)
    ]


def ended(rng: Random, target: EventTarget, needle: bool) -> EventTarget:
    if needle:
        return target._replace(
            outcome="failed", code=CODE, message="The device does not answer."
        )
    outcome = rng.choices(["ok", "already", "failed", "unknown"], [84, 3, 12, 1])[0]
    code = rng.choice(CODES) if outcome == "failed" else ""
    return target._replace(
        outcome=outcome, code=code, message="Not allowed." if code else ""
    )


def append(end: Head, drafts: list[Draft]) -> Head:
    """Append as audit.chain does, with chosen times."""
    rows, outcomes, words = [], [], []
    for facts, targets in drafts:
        seq = end.seq + 1
        row = chain.event_row(seq, facts)
        row[chain.AT] = BEGAN + timedelta(seconds=60 * seq)
        row[chain.OUTSIDE_HOURS] = chain.is_outside_working_hours(row[chain.AT])
        end = Head(seq, chain.event_hash(end.hash, chain.canonical_row(row), targets))
        row[chain.AT] = connection.ops.adapt_datetimefield_value(row[chain.AT])
        rows.append((*row, end.hash))
        outcomes += [(seq, *target) for target in targets]
        if facts["kind"] == "operation.asked":
            words += [(word, seq) for word in reason_words(facts["reason"])]
    put(Event, chain.COLUMNS, rows)
    put(Outcome, ["event_id", *chain.TARGET_COLUMNS], outcomes)
    put(ReasonWord, ["word", "event_id"], words)
    return end


def put(model: Any, names: list[str], rows: list[Any]) -> None:
    if connection.vendor != "postgresql":
        return chain.insert_event_rows(model, names, rows)
    columns = ", ".join(f'"{name}"' for name in names)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {model._meta.db_table} ({columns}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)
    return None
