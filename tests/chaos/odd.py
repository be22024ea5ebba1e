"""Odd values in every field of every answer: no page fails, and no wrong row is stored."""

import json
import random
import re
import traceback
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import stamina
from django.conf import settings
from django.db.models import Model
from django.test.client import Client
from django.urls import reverse

from devices.models import Device, Product, Space
from iotda_admin.core.templatetags import core_tags
from iotda_admin.inventory.models import MirrorState, SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.iotda import DeviceInfo, IotdaError
from iotda_admin.iotda.devices import Application, ProductInfo
from iotda_admin.iotda.responses import Endpoint
from iotda_admin.operations.models import Target
from iotda_admin.rate import connection
from policies.models import Binding, Policy
from tests.chaos import product
from tests.chaos.fuzz import create_operations, create_users, ids, sign_in
from tests.chaos.fuzz_site import PARAMETER, routes
from tests.chaos.report import Findings
from tests.chaos.stage import Stage
from tests.cloud import Cloud
from tests.operation_helpers import bind_form, change_form, run_workers

type Json = dict[str, Any]

SHARE = 0.5
CHANGES = 3
PAGES = 40
CONTROL = 400
WHO = ["root", "fuzz viewer", "fuzz operator here"]
READS_IOTDA = re.compile(r"/devices/[\w-]+/|/policies/[\w-]+/|/policies/replace.for/.*")
# What a database cannot store.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
SENDABLE = re.compile("[A-Za-z0-9_-]{1,128}")
# Pages of each round, with a device and a policy, and those that get odd filters.
ALWAYS = [
    "/",
    "/devices/",
    "/policies/",
    "/audit/",
    "/failures/",
    "/operations/",
    "/devices/{0}/",
    "/policies/{1}/",
    "/policies/of.device/{0}/",
]
FILTERS = {
    "/devices/": ("after", "before", "q", "product", "space", "status"),
    "/audit/": ("q", "target"),
}
# A listing, and the names of the mirror's columns where they differ.
LISTINGS: list[tuple[type[Model], Any, str, str, dict[str, str]]] = [
    (Space, Application, "/apps", "applications", {"app_name": "name"}),
    (Product, ProductInfo, "/products", "products", {}),
    (Device, DeviceInfo, "/devices", "devices", {"device_name": "name"}),
]
LISTED = [
    "ShowApplications",
    "ListProducts",
    "ListDevices",
    "ListDevicePolicies",
    "ShowDevicePolicy",
    "ShowTargetsInDevicePolicy",
]


# Seconds of IOTDA_DEADLINE.
PATIENCE = 60


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    product.disable_logging()
    settings.BATCH_TASK_ABOVE = 5
    # No answer is late here: on a loaded machine one must not count as missing.
    product.set_deadline(PATIENCE)
    odd = Odd(stage.cloud, options["seed"])
    odd.values(options["n"])
    return odd.findings


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    """Make each link as if every ID were one; that must be found."""
    vars(core_tags)["object_url"] = naive_url
    return run(stage, options | {"n": CONTROL})


def naive_url(view: str, id: str) -> str:
    return reverse(view, args=[id])


class Odd:
    def __init__(self, cloud: Cloud, seed: int) -> None:
        self.cloud, self.seed, self.findings = cloud, seed, Findings()
        create_users(cloud)
        create_operations(cloud)
        self.browsers = {name: signed_in(name) for name in WHO}
        self.devices = list(product.direct_devices())
        self.policies = list(Policy.objects.values_list("pk", flat=True))
        self.plain = {text_of(row) for row in self.raw_rows()}
        self.routes = [
            route for route in dict.fromkeys(routes()) if "readyz" not in route
        ]

    def values(self, least: int) -> None:
        """Run rounds until so many odd values were answered in listings."""
        while self.findings.numbers["odd values"] < least:
            self.round(self.seed * 10_000 + self.findings.numbers["rounds"])
            self.findings.numbers["rounds"] += 1
        self.cloud.heal()

    def round(self, seed: int) -> None:
        with stamina.set_testing(True, attempts=1):
            self.cloud.heal()
            self.cloud.fault(LISTED, "odd", seed=seed, share=SHARE, rest=False)
            self.sync(seed)
            self.cloud.heal()
            self.cloud.fault(None, "odd", seed=seed, share=SHARE)
            dice = random.Random(seed)
            self.change(dice, seed)
            self.visit(dice, seed)
            run_sync(SyncRun.objects.create(), connection.client())
            self.cloud.heal()
            self.check_changes(seed)

    # The mirror.

    def sync(self, seed: int) -> None:
        run_ = SyncRun.objects.create()
        if not run_sync(run_, connection.client()):
            self.violation(seed, f"the sync failed: {run_.error}")
        for model, info, path, key, names in LISTINGS:
            self.check_listing(seed, model, info, self.rows(path, key), names)
        self.check_policies(seed)
        self.findings.numbers["odd values"] += sum(
            text_of(row) not in self.plain for row in self.raw_rows()
        )

    def check_listing(
        self, seed: int, model: Any, info: Any, rows: list[Any], names: dict[str, str]
    ) -> None:
        good = [row for row in rows if is_good(row, model)]
        columns = columns_of(model, info, names)
        expected: dict[str, list[Json]] = {}
        for row in good:
            came = as_stored(row, model, columns)
            expected.setdefault(row[model._meta.pk.name], []).append(came)
        for key, stored in model.objects.in_bulk(list(expected)).items():
            rows_of_key = expected.pop(key)
            found = {column: getattr(stored, column) for column in rows_of_key[0]}
            if found not in rows_of_key:
                wrong = set(map(str, found.items())).difference(
                    *(map(str, each.items()) for each in rows_of_key)
                )
                self.violation(seed, f"{model.__name__} {key!r} is stored as {wrong}")
        if expected:
            self.violation(seed, f"{model.__name__} not stored: {list(expected)}")
        state = MirrorState.objects.get(table=model._meta.db_table)
        bad = {text_of(row) for row in rows if row not in good}
        self.findings.numbers["skipped rows"] += len(bad)
        if state.skipped < len(bad):
            self.violation(seed, f"{model.__name__}: {len(bad)} rows were left out")

    def check_policies(self, seed: int) -> None:
        for policy_id in self.policies:
            came = self.call("ShowDevicePolicy", "GET", f"/device-policies/{policy_id}")
            row = Policy.objects.get(pk=policy_id)
            if row.statements != [statement(each) for each in came["statement"]]:
                self.violation(seed, f"{policy_id} is stored as {row.statements}")
            self.check_bindings(seed, policy_id)
        for each in self.rows("/device-policies", "policies"):
            if storable(each, "policy_id", 36) and not is_sendable(each["policy_id"]):
                stored = Policy.objects.filter(pk=each["policy_id"]).first()
                if stored is None or stored.statements is not None:
                    self.violation(seed, f"policy not stored: {each['policy_id']!r}")

    def check_bindings(self, seed: int, policy_id: str) -> None:
        path = f"/device-policies/{policy_id}/list-targets"
        came = {
            (shown(each.get("target_type")), each["target_id"])
            for each in self.rows(path, "targets", method="POST")
            if storable(each, "target_id", 128)
        }
        bindings = Binding.objects.filter(policy=policy_id)
        stored = set(bindings.values_list("target_type", "target_id"))
        if missing := {each for each in came if len(each[0]) <= 16} - stored:
            self.violation(seed, f"bindings not stored: {missing}")

    def raw_rows(self) -> Iterator[Any]:
        for _model, _info, path, key, _names in LISTINGS:
            yield from self.rows(path, key)
        yield from self.rows("/device-policies", "policies")

    def rows(self, path: str, key: str, method: str = "GET") -> list[Any]:
        """Return all rows of a listing as they come."""
        found, marker = [], ""
        while True:
            page = {"limit": 50, **({"marker": marker} if marker else {})}
            how = {"body": page} if method == "POST" else {"query": page}
            if path == "/apps":
                how = {}
            document = self.call("raw", method, path, **how)
            found += document[key]
            if path == "/apps" or len(document[key]) < 50:
                return found
            marker = document["page"]["marker"]

    def call(self, name: str, method: str, path: str, **how: Any) -> Json:
        client = connection.client()
        document: Json = client._call(Endpoint(name), method, path, dict, **how)[0]
        return document

    # The pages.

    def visit(self, dice: random.Random, seed: int) -> None:
        values = ids()
        some = dice.sample(self.routes, min(PAGES, len(self.routes)))
        paths: list[tuple[str, Json]] = [
            (filled(route, values, dice), {}) for route in some
        ]
        keys = list(Device.objects.values_list("pk", flat=True))
        for path, filters in FILTERS.items():
            paths.append((path, {dice.choice(filters): dice.choice(keys)}))
        for path, query in paths:
            who = dice.choice(WHO)
            answer = self.browsers[who].get(path, query)
            self.answer(seed, f"{who} GET {path} {query}", answer)
        for path in ALWAYS:
            self.show(path.format(*self.some_ids(dice)), seed)

    def show(self, path: str, seed: int) -> None:
        """Get a page that a superuser always sees, whatever IoTDA answers."""
        answer = self.browsers["root"].get(path)
        self.answer(seed, f"GET {path}", answer)
        if answer.status_code not in (200, 502, 503):
            self.violation(seed, f"GET {path} is {answer.status_code}")
        self.findings.numbers["pages shown"] += answer.status_code == 200

    def some_ids(self, dice: random.Random) -> tuple[str, str]:
        return dice.choice(self.devices), dice.choice(self.policies)

    def answer(self, seed: int, what: str, answer: Any) -> None:
        self.findings.numbers["pages"] += 1
        if answer.status_code < 500:
            return
        path = answer.request["PATH_INFO"]
        unanswered = answer.status_code in (502, 503) and not answer.exc_info
        if unanswered and READS_IOTDA.fullmatch(path) and not self.usable(path):
            self.findings.numbers["not answered by IoTDA"] += 1
            return
        error = answer.exc_info and "".join(
            traceback.format_exception(*answer.exc_info)[-2:]
        )
        self.violation(seed, f"{what} is {answer.status_code}: {error}")

    def usable(self, path: str) -> bool:
        """Return whether IoTDA's answer is about the device or policy of a page."""
        kind, id, *more = path.strip("/").split("/")
        if more:
            return False
        own, key = {
            "devices": ("/devices", "device_id"),
            "policies": ("/device-policies", "policy_id"),
        }[kind]
        try:
            document = self.call("raw", "GET", f"{own}/{id}")
        except IotdaError:
            return False
        shown = {"devices": "status", "policies": "policy_name"}[kind]
        return document.get(key) == id and document.get(shown) is not None

    # Changes.

    def change(self, dice: random.Random, seed: int) -> None:
        root = self.browsers["root"]
        for device in dice.sample(self.devices, CHANGES):
            verb = dice.choice(("freeze", "unfreeze"))
            path = f"/devices/{device}/{verb}/"
            self.answer(seed, path, root.post(path, change_form()))
        many = dice.sample(self.devices, CHANGES)
        form = bind_form(dice.choice(self.policies), *many)
        answer = root.post("/policies/selection.bind/", form)
        self.answer(seed, "bind", answer)
        many = dice.sample(self.devices, 6)
        form = change_form(target=many, typed="6")
        self.answer(seed, "freeze", root.post("/devices/selection.freeze/", form))
        run_workers()

    def check_changes(self, seed: int) -> None:
        """Compare what the last operations say with the state of the platform."""
        latest: dict[str, Target] = {}
        changed = Target.objects.filter(
            operation__verb__in=("device.freeze", "device.unfreeze")
        )
        for target in (
            changed.exclude(chunk=None).order_by("pk").select_related("operation")
        ):
            latest[target.target_id] = target
        for device, target in latest.items():
            if target.state not in ("ok", "already"):
                continue
            wanted = target.operation.verb == "device.freeze"
            if (self.cloud.status(device) == "FROZEN") != wanted:
                self.violation(seed, f"{target.operation} says {device} {target.state}")

    def violation(self, seed: int, text: str) -> None:
        self.findings.violations.append(f"seed {seed}: {text}")


def signed_in(name: str) -> Client:
    browser = Client(raise_request_exception=False, SERVER_NAME="localhost")
    browser.cookies[settings.SESSION_COOKIE_NAME] = sign_in(name)
    return browser


def filled(route: str, values: dict[str, list[str]], dice: random.Random) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return str(dice.choice(values.get(name) or ["1"]))

    return PARAMETER.sub(value, route)


def columns_of(model: Any, info: Any, names: dict[str, str]) -> dict[str, str]:
    """Return the column of each text of the client's dataclass that is mirrored."""
    texts = [each.name for each in fields(info) if each.type is str]
    columns = {name: names.get(name, name) for name in texts}
    return {name: column for name, column in columns.items() if hasattr(model, column)}


def as_stored(row: Json, model: Any, columns: dict[str, str]) -> Json:
    """Return the columns of a row as they are to be stored: as they came."""
    came: Json = {
        column: cut(shown(row.get(name)), model, column)
        for name, column in columns.items()
    }
    return came | ({"tags": tags(row.get("tags"))} if model is Device else {})


def is_good(row: Any, model: Any) -> bool:
    """Return whether a row can be stored."""
    key = model._meta.pk
    has_status = model is not Device or (
        isinstance(row, dict) and row.get("status") is not None
    )
    return has_status and storable(row, key.name, key.max_length)


def is_sendable(id: str) -> bool:
    return SENDABLE.fullmatch(id) is not None


def storable(row: Any, key: str, limit: int) -> bool:
    if not isinstance(row, dict):
        return False
    value = row.get(key)
    return (
        isinstance(value, str)
        and 0 < len(value) <= limit
        and not UNSTORABLE.search(value)
    )


def text_of(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def shown(value: Any) -> str:
    """Return how a value is to be shown: as it came."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return UNSTORABLE.sub("\ufffd", text)


def cut(text: str, model: Any, column: str) -> str:
    limit = model._meta.get_field(column).max_length
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def tags(value: Any) -> list[list[str]]:
    values = value if isinstance(value, list) else [value] if value else []
    return [
        [shown(each.get("tag_key")), shown(each.get("tag_value"))]
        if isinstance(each, dict)
        else ["", shown(each)]
        for each in values
    ]


def statement(rule: Json) -> Json:
    def texts(value: Any) -> list[str]:
        return list(map(shown, value if isinstance(value, list) else [value]))

    return {
        "effect": shown(rule["effect"]),
        "actions": texts(rule["actions"]),
        "resources": texts(rule["resources"]),
    }
