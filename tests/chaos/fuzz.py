"""Random requests to all routes by every role: no error, no slow or unescaped page."""

import re
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.signals import got_request_exception
from django.db import connection as db
from django.db import transaction
from django.http import HttpResponseBase
from django.test.client import Client, ClientHandler
from django.urls import set_urlconf

from devices.models import Device, Product, Space
from devices.verbs import DeviceVerb
from iotda_admin.access.actor import Actor
from iotda_admin.access.models import EVERY_SPACE, Grant
from iotda_admin.audit.models import Event
from iotda_admin.audit.verify import verify_trail
from iotda_admin.health import workers
from iotda_admin.operations import services
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.verbs import all_verbs
from iotda_admin.rate import connection
from policies.models import Policy
from tests.chaos import product
from tests.chaos.fuzz_input import MARK, TYPES, Dice, Input, encoded
from tests.chaos.fuzz_site import PARAMETER, Site, site
from tests.chaos.report import Findings
from tests.chaos.stage import Stage
from tests.cloud import Cloud
from tests.operation_helpers import WRITE_OPERATIONS, create, run_workers
from tests.samples import SAMPLES

SLOW = 1.0  # seconds
# The worker runs after this many requests.
TURN = 250
# Seconds between the heartbeats of the worker.
HEARTBEAT_SECONDS = 5.0
CONTROL = 300
# The parameters of the planted addresses.
PLANTED = ["after", "q", "next"]
ROLES = ["viewer", "operator", "policy admin", "auditor", "admin"]
# Not the quote that closes an attribute whose value was cut off there.
UNESCAPED = re.compile(rb"<qzfuzz|qzfuzz'|qzfuzz\"(?:['\"]|&#x27;|&#39;)")
OURS = ("", "127.0.0.1", "localhost", "localhost:8000")
VERBS = {sample.request: sample.verb for sample in SAMPLES}
DEVICE_COMMANDS = [verb.command for verb in all_verbs() if isinstance(verb, DeviceVerb)]


def run(stage: Stage, options: dict[str, Any]) -> Findings:
    product.disable_logging()
    settings.BATCH_TASK_ABOVE = 15
    fuzz = Fuzz(stage.cloud, options["seed"])
    if options.get("only") is not None:
        return fuzz.show(options["only"])
    part, parts = options.get("part", 0), options.get("parts", 1)
    fuzz.requests(range(part, options["n"], parts))
    return fuzz.findings


def control(stage: Stage, options: dict[str, Any]) -> Findings:
    """Fuzz four faulty addresses; each must be found."""
    product.disable_logging()
    settings.ROOT_URLCONF = "tests.chaos.planted"
    set_urlconf(None)
    fuzz = Fuzz(stage.cloud, options["seed"])
    # The run itself checks the others.
    fuzz.dice.narrow(("/planted/", "/slow/"), PLANTED)
    fuzz.requests(range(CONTROL))
    return fuzz.findings


@dataclass
class Answer:
    status: int
    # Without the time that we waited for a processor.
    seconds: float
    waited: float
    html: bool
    body: bytes
    headers: dict[str, str]
    error: str

    @property
    def slow(self) -> bool:
        return self.seconds > SLOW


class Fuzz:
    def __init__(self, cloud: Cloud, seed: int) -> None:
        self.cloud, self.seed, self.findings = cloud, seed, Findings()
        self.handlers = [
            ClientHandler(enforce_csrf_checks=False),
            ClientHandler(enforce_csrf_checks=True),
        ]
        self.cookies = dict.fromkeys(create_users(cloud), "") | {"anonymous": ""}
        create_operations(cloud)
        self.next_heartbeat = 0.0
        self.send_heartbeat()
        found = site()
        self.crawl(found)
        self.dice = Dice(found, sorted(self.cookies), ids())
        self.reached: Counter[str] = Counter()

    def crawl(self, found: Site) -> None:
        """Collect the forms and links of every page, as a superuser."""
        for path in [
            route for route in found.routes if not PARAMETER.search(route)
        ] + own_pages():
            self.learn(found, path)
        for link in [link for some in found.links.values() for link in some[:3]]:
            self.learn(found, link)
        for form in [
            some[0] for some in found.forms.values() if some[0].method == "POST"
        ]:
            # The page after it, without a reason.
            for action in [action for action in form.actions if "logout" not in action]:
                self.learn(found, action, encoded(form.fields + form.choices))

    def learn(self, found: Site, path: str, body: str = "") -> None:
        address, _mark, query = path.partition("?")
        made = Input("root", "POST" if body else "GET", address, query)
        made.type, made.body = TYPES[0], body.encode()
        answer = self.send(made)
        if answer.html and answer.status in (200, 422):
            found.learn(path, answer.body.decode())

    def requests(self, numbers: range) -> None:
        for turn, number in enumerate(numbers):
            if turn % TURN == 0:
                run_workers()
            self.send_heartbeat()
            self.one(number)
        self.afterwards()

    def send_heartbeat(self) -> None:
        """Record a heartbeat if due. A turn on a slow machine takes longer."""
        if time.monotonic() > self.next_heartbeat:
            workers.record_heartbeat()
            self.next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS

    def one(self, number: int) -> None:
        made = self.dice.input(self.seed, number)
        answer = self.send(made)
        self.findings.at_most("longest_by_the_clock_s", answer.seconds + answer.waited)
        if answer.slow:
            # Another process may have slowed it down: send it once more, alone.
            self.findings.numbers["slow_at_first"] += 1
            answer.seconds = min(answer.seconds, self.send(made).seconds)
        self.findings.numbers["inputs"] += 1
        self.findings.moments[f"answered {answer.status}"] += 1
        self.findings.at_most("longest_s", answer.seconds)
        if answer.status < 400:
            self.reached[made.route] += 1
        for wrong in complaints(answer):
            self.findings.violations.append(f"--only {number}: {wrong}: {made}")

    def show(self, number: int) -> Findings:
        made = self.dice.input(self.seed, number)
        answer = self.send(made)
        print(
            f"{made!r}\n{answer.status} in {answer.seconds:.3f} s\n{answer.headers}\n{answer.error}"
        )
        self.findings.violations += complaints(answer)
        return self.findings

    # --- Sending
    def send(self, made: Input) -> Answer:
        if not self.cookies[made.who] and made.who != "anonymous":
            self.cookies[made.who] = sign_in(made.who)
        if not made.path.startswith("/admin"):
            return self.answered(made)
        # Changes of users and roles are undone, so that the senders keep their roles.
        with transaction.atomic():
            answer = self.answered(made)
            if not db.needs_rollback:
                db.check_constraints()
            transaction.set_rollback(True)
        return answer

    def answered(self, made: Input) -> Answer:
        errors: list[str] = []

        def hear(**_: Any) -> None:
            errors.append(traceback.format_exc())

        got_request_exception.connect(hear)
        environ = environment(made, self.cookies[made.who])
        started, before = time.perf_counter(), waiting()
        try:
            response: Any = self.handlers[made.csrf](environ)
            body = (
                b"".join(response.streaming_content)
                if response.streaming
                else response.content
            )
        except Exception:
            # A streamed response broke off, or no middleware caught the error.
            return Answer(599, 0.0, 0.0, False, b"", {}, traceback.format_exc())
        finally:
            waited = waiting() - before
            seconds = time.perf_counter() - started - waited
            got_request_exception.disconnect(hear)
        self.keep_signed_in(made, response)
        html = response.headers.get("Content-Type", "").startswith("text/html")
        said = dict(response.headers)
        return Answer(
            response.status_code, seconds, waited, html, body, said, "\n".join(errors)
        )

    def keep_signed_in(self, made: Input, response: HttpResponseBase) -> None:
        if (
            settings.SESSION_COOKIE_NAME in response.cookies
            and not made.path.startswith("/admin")
        ):
            self.cookies[made.who] = ""

    # --- Afterwards
    def afterwards(self) -> None:
        finding = verify_trail()
        wrong = (
            [f"the trail: event {finding.broken_at} {finding.why}"]
            if finding.broken_at is not None
            else []
        )
        asked = Event.objects.filter(kind="operation.asked").values("operation")
        wrong += [
            f"{one} has no record" for one in Operation.objects.exclude(pk__in=asked)
        ]
        recorded = set(Target.objects.values_list("operation__verb", "target_id"))
        wrong += sorted(
            {f"{done} was sent without a record" for done in self.changed() - recorded}
        )
        self.findings.violations += wrong
        self.findings.numbers["events"] += finding.events
        self.findings.numbers["operations"] += Operation.objects.count()
        self.findings.most["routes"] = len(self.dice.site.routes)
        served = [route for route in self.dice.site.routes if self.reached[route]]
        self.findings.at_most("routes_that_served", len(served))

    def changed(self) -> set[tuple[str, str]]:
        entries = [
            entry
            for entry in self.cloud.journal()
            if entry["operation"] in WRITE_OPERATIONS
        ]
        verbs = [VERBS.get(entry["operation"], "device.freeze") for entry in entries]
        return {
            (v, id)
            for v, e in zip(verbs, entries, strict=True)
            for id in e["target_ids"]
        }


def waiting() -> float:
    """Return how long this thread has waited for a processor, if the system knows."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def complaints(answer: Answer) -> list[str]:
    wrong = []
    if answer.status >= 500:
        wrong.append(f"{answer.status} {last_lines(answer.error)}")
    if answer.slow:
        wrong.append(f"took {answer.seconds:.2f} s, also when asked again")
    if answer.html and "Content-Security-Policy" not in answer.headers:
        wrong.append("a page without the CSP")
    if answer.html and (found := UNESCAPED.search(answer.body)):
        around = answer.body[max(0, found.start() - 60) : found.end() + 30]
        wrong.append(f"came back unescaped: {around!r}")
    place = answer.headers.get("Location") or answer.headers.get("HX-Redirect", "")
    if leads_away(place):
        wrong.append(f"leads to {place[:80]!r}")
    return wrong


def leads_away(place: str) -> bool:
    try:
        parts = urlsplit(place.replace("\\", "/"))
    except ValueError:
        return True
    return parts.netloc not in OURS or parts.scheme not in ("", "http", "https")


def last_lines(error: str) -> str:
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    places = [line for line in lines if line.startswith("File") and ".venv" not in line]
    return " ".join([*places[-1:], *lines[-1:]])[:400]


def environment(made: Input, cookie: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "REQUEST_METHOD": made.method,
        "PATH_INFO": unquote_to_bytes(made.path).decode("latin-1"),
        "QUERY_STRING": made.query,
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": made.type,
        "CONTENT_LENGTH": str(len(made.body)),
        "HTTP_COOKIE": f"{settings.SESSION_COOKIE_NAME}={cookie}" if cookie else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(made.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multiprocess": False,
        "wsgi.multithread": False,
        "wsgi.run_once": False,
    }
    for name, value in made.headers.items():
        # No server accepts these in a header; it passes on all other bytes.
        spoken = (
            re.sub("[\r\n\0]", "", value).encode("utf-8", "replace").decode("latin-1")
        )
        key = name.upper().replace("-", "_")
        if spoken:
            found[key if key == "CONTENT_LENGTH" else f"HTTP_{key}"] = spoken[:8000]
    return found


# --- The scene
def create_users(cloud: Cloud) -> list[str]:
    """Create users of each role and some of one or no space, and a superuser."""
    here = cloud.known_ids["space"]
    grants = {f"fuzz {role}": (role, [EVERY_SPACE]) for role in ROLES}
    grants |= {
        f"fuzz {role} here": (role, [here]) for role in ("operator", "policy admin")
    }
    grants["fuzz viewer nowhere"] = ("viewer", [])
    for name, (role, spaces) in grants.items():
        user = User.objects.create(username=name, password="!")
        user.groups.add(Group.objects.get(name=role))
        Grant.objects.bulk_create([Grant(user=user, app_id=each) for each in spaces])
    User.objects.create(username="root", password="!", is_staff=True, is_superuser=True)
    return [*grants, "root"]


def sign_in(name: str) -> str:
    client = Client()
    client.force_login(User.objects.get(username=name))
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def create_operations(cloud: Cloud) -> None:
    """Create operations that ended, failed, are unknown or pending, with text."""
    known, free = cloud.known_ids, list(cloud.free(10))
    actor = Actor(User.objects.get(username="root"), "admin", "web")

    def ask(verb: str, ids: list[str], policy: str = "", kind: str = "device") -> None:
        operation = create(
            verb,
            ids,
            actor,
            reason=f"unpaid {MARK}",
            ticket="INC-1",
            key=f"scene {Operation.objects.count()}",
            target_type=kind,
            policy_id=policy,
            policy_name=policy and "quarantine",
        )
        services.dispatch(operation, connection.client())

    ask("device.freeze", [free[0], "nobody-knows-it"])
    ask("policy.bind", [*free[:3], known["full"]], known["policy"])
    ask("policy.unbind", free[:1], known["policy"])
    ask("policy.bind", [known["product"]], known["other_policy"], "product")
    ask("policy.bind", [known["other_space"]], known["other_policy"], "app")
    cloud.fault("BindDevicePolicy", "drop", moment="after")
    ask("policy.bind", free[3:5], known["policy"])
    cloud.heal()
    run_workers()
    ask("policy.bind", [f"nobody-{n}" for n in range(45)], known["policy"])


def ids() -> dict[str, list[str]]:
    """Return IDs by the names of route parameters."""
    devices = list(Device.objects.order_by("pk").values_list("pk", flat=True)[:25])
    policies = list(Policy.objects.order_by("pk").values_list("pk", flat=True))
    things = [
        *Product.objects.values_list("pk", flat=True),
        *Space.objects.values_list("pk", flat=True),
    ]
    numbers = [str(n) for n in range(1, 9)]
    return {
        "device_id": devices,
        "target_id": [*devices, *things, *policies],
        "policy_id": policies,
        "number": numbers,
        "seq": numbers,
        "object_id": numbers,
        "app_label": ["auth", "accounts"],
        "kind": ["device", "product", "app"],
        "target_type": ["device", "product", "app"],
        "things": things,
    }


def own_pages() -> list[str]:
    first = Operation.objects.order_by("pk").values_list("pk", flat=True)
    pages = [
        f"/operations/{pk}/{more}"
        for pk in first
        for more in ("", "targets/", "retry/", "undo/", "cancel/")
    ]
    for device in Device.objects.order_by("pk").values_list("pk", flat=True)[:3]:
        pages += [f"/devices/{device}/"]
        pages += [f"/devices/{device}/{command}/" for command in DEVICE_COMMANDS]
    for policy in Policy.objects.order_by("pk").values_list("pk", flat=True)[:2]:
        pages += [f"/policies/{policy}/{more}" for more in ("", "bind/")]
    return pages
