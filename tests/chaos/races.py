"""Concurrency: one form sent twenty times, one contested device, four workers."""

import itertools
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from multiprocessing.connection import Connection
from typing import Any

import requests

from iotda_admin.rate import connection
from tests.chaos import product, truth
from tests.chaos.forks import Child, call_in_child
from tests.chaos.report import Findings
from tests.chaos.stage import Stage
from tests.chaos.web import web_server
from tests.operations.deployment import Browser

POSTS, FIGHTERS, WORKERS = 20, 8, 4
VERBS = ("device.freeze", "device.unfreeze")


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    findings = Findings()
    one_form(stage, findings)
    one_device(stage, options["rounds"], findings)
    one_operation(stage, findings)
    return findings


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    """Change one device again, without the check and the index against conflicts."""
    findings = Findings()
    stage.desk(product.drop_the_index)
    one_device(stage, min(options["rounds"], 20), findings, guarded=False)
    return findings


def one_form(stage: Stage, findings: Findings) -> None:
    """The same form, sent by twenty at once to a real web server, is one operation and one request."""
    stage.cloud.reset(60)
    device = stage.cloud.known_ids["online"]
    path = f"/devices/{device}/freeze/"
    with web_server(stage.cloud, "--threads", "16") as web:
        browser = web.browser("operator")
        form = browser.form(path) | {"reason": "chaos"}
        # Each with connections of its own, as two tabs have them.
        senders = [same_session(browser) for _n in range(POSTS)]
        with ThreadPoolExecutor(POSTS) as pool:
            statuses = list(
                pool.map(lambda one: one.send(path, form).status_code, senders)
            )
    look: product.Records = stage.desk(product.records, form["key"])
    calls = len(
        truth.of(truth.Change("device.freeze", (device,)), stage.cloud.journal())
    )
    findings.numbers["posts"] += POSTS
    findings.numbers["operations_of_posts"] += look.found
    wrong = (
        [f"{look.found} operations, {calls} requests"]
        if (look.found, calls) != (1, 1)
        else []
    )
    wrong += [f"answered {status}" for status in sorted(set(statuses) - {200})]
    findings.violations += [f"{POSTS} posts of one form: {line}" for line in wrong]


def same_session(browser: Browser) -> Browser:
    twin = copy(browser)
    twin.http = requests.Session()
    twin.http.trust_env = False
    twin.http.cookies.update(browser.http.cookies)
    return twin


def one_device(
    stage: Stage, rounds: int, findings: Findings, guarded: bool = True
) -> None:
    """Eight ask for freezing and unfreezing one device, again and again, without waiting for each other."""
    stage.cloud.reset(60, repeat_freeze="ok", repeat_unfreeze="ok", latency_ms=1)
    device = stage.cloud.known_ids["online"]
    prefix = f"fight {time.monotonic_ns()}"
    refused = call_in_child(fight, device, rounds, prefix, guarded)
    looks = stage.desk(product.history, prefix)
    entries = stage.cloud.journal()
    wrong = contradictions(
        device, looks, entries, stage.cloud.status(device) == "FROZEN"
    )
    wrong += [f"{len(looks)} recorded"] if len(looks) != FIGHTERS * rounds else []
    findings.numbers["changes_of_one_device"] += len(looks)
    findings.numbers["refused_meanwhile"] += refused
    findings.violations += [
        f"{FIGHTERS} x {rounds} on one device: {line}" for line in wrong
    ]


def fight(device: str, rounds: int, prefix: str, guarded: bool) -> int:
    """Return how many requests conflicted with another one before all succeeded."""
    product.disable_logging()
    if not guarded:
        product.skip_conflict_check()
    gate = threading.Barrier(FIGHTERS)
    connection.client()

    def fighter(side: int) -> int:
        gate.wait()
        refused = 0
        for n in range(rounds):
            while not product.create_and_dispatch(
                VERBS[(side + n) % 2], [device], f"{prefix} {side} {n}"
            ):
                refused += 1
                time.sleep(random.uniform(0.005, 0.06))
        product.close_connections()
        return refused

    with ThreadPoolExecutor(FIGHTERS) as pool:
        return sum(pool.map(fighter, range(FIGHTERS)))


def contradictions(
    device: str,
    looks: Sequence[product.TargetChange],
    entries: list[dict[str, Any]],
    frozen: bool,
) -> list[str]:
    """Each change begins after the one before has ended, none is lost, and the last one has its effect."""
    pairs = itertools.pairwise(looks)
    overlaps = sum(
        then.settled_at is None or then.settled_at > now.sent_at for then, now in pairs
    )
    wrong = [f"{overlaps} began before the one before had ended"] if overlaps else []
    wrong += [
        f"{look.verb} is {look.state}"
        for look in looks
        if look.state not in truth.SUCCEEDED
    ]
    done = [
        truth.WANTED[e["operation"]]
        for e in entries
        if e["operation"] in truth.WANTED and e["applied"]
    ]
    said = [truth.EXPECTED[look.verb] for look in looks if look.state == "ok"]
    if done != said:
        wrong.append(
            f"{len(said)} recorded ok, {len(done)} applied, or in another order"
        )
    if looks and truth.EXPECTED[looks[-1].verb] != frozen:
        wrong.append(
            f"the last is {looks[-1].verb}, and the device is {'' if frozen else 'not '}frozen"
        )
    return wrong


def one_operation(stage: Stage, findings: Findings) -> None:
    """Four workers of one operation send each of its chunks once."""
    stage.cloud.reset(300, latency_ms=2)
    devices = stage.desk(product.direct_devices)
    policy = stage.cloud.known_ids["other_policy"]
    change = truth.Change("policy.bind", tuple(sorted(devices)), policy)
    old = truth.Platform((), [(policy, id) for id in stage.cloud.bound(policy)])
    stage.cloud.call("DELETE", "journal")
    stage.desk(
        product.create_operation,
        change.verb,
        change.ids,
        policy,
        key := f"workers {time.monotonic_ns()}",
    )
    workers = [Child(run_worker_process) for _n in range(WORKERS)]
    for worker in workers:
        worker.wait()
    look: product.Records = stage.desk(product.records, key)
    entries = stage.cloud.journal()
    now = truth.Platform((), old.has)
    now.read(entries)
    wrong = truth.identity(change, look) + truth.in_the_end(
        change, look, entries, old, now
    )
    calls = truth.of(change, entries)
    findings.numbers["chunks"] += len(look.chunks)
    findings.numbers["requests"] += len(calls)
    wrong += (
        [f"{len(look.chunks)} chunks, {len(calls)} requests"]
        if len(calls) != len(look.chunks)
        else []
    )
    findings.violations += [f"{WORKERS} workers: {line}" for line in wrong]


def run_worker_process(_pipe: Connection) -> None:
    product.disable_logging()
    product.run_worker()
