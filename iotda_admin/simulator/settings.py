"""The settings that the control port changes at run time.

Where the documentation leaves IoTDA's behaviour open, a setting selects it; "assumed"
marks a default that no source confirms. What is not marked and is no choice of ours is
as in the vendor's OpenAPI description of 2025-07-30, which the tests compare.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from .schema import Check, NoExtraKeys, between

Outcome = Literal["success", "failure"]
NotNegative = Annotated[float, between(0)]
AtLeastOne = Annotated[int, between(1)]


@dataclass(frozen=True)
class Settings(NoExtraKeys):
    # Behaviour that the documentation leaves open.
    already_bound: Outcome = "success"  # assumed: binding is set membership
    already_bound_code: str = "IOTDA.015203"  # assumed: no source shows it
    not_bound: Outcome = "success"  # assumed, as above
    not_bound_code: str = "IOTDA.015205"  # assumed
    cross_space: Outcome = (
        "success"  # assumed: a policy may be bound to a device of another space
    )
    cross_space_code: str = "IOTDA.001007"  # assumed
    unknown_target_code: str = "IOTDA.014000"  # assumed
    unknown_policy_code: str = "IOTDA.015201"  # assumed; the status 404 is not
    unknown_product_code: str = "IOTDA.000029"  # assumed; the status 404 is not
    policy_name_taken_code: str = "IOTDA.015202"  # assumed
    policy_quota_code: str = "IOTDA.015206"  # assumed
    unknown_task_code: str = "IOTDA.014201"  # assumed; the status 404 is not
    task_refused_code: str = (
        "IOTDA.014202"  # assumed: retry, stop or delete in the wrong state
    )
    task_quota_code: str = "IOTDA.014203"  # assumed: too many running tasks
    repeat_freeze: Literal["error", "ok"] = "error"  # assumed: 403 IOTDA.014039
    repeat_unfreeze: Literal["error", "ok"] = "error"  # documented: 403 IOTDA.014040
    # assumed; a device that never connected becomes INACTIVE
    after_unfreeze: Literal["offline", "inactive", "online"] = "offline"
    # assumed: polling a task does not return its 30,000 IDs each time
    echo_targets: Literal["create", "always"] = "create"
    empty_page_marker: Literal["absent", "empty", "echo"] = "absent"  # assumed
    # Added to each page's count. Real lists lag behind, or are capped.
    count_error: int = 0
    count_after_marker: bool = (
        False  # assumed: page.count is the total, whatever the marker
    )

    # Lists show a freeze or a binding this much later; ShowDevice shows it at once.
    stale_list_ms: NotNegative = 0  # assumed: at once

    # The host.
    host_kind: Literal["any", "regional", "regional_unsubscribed", "instance"] = "any"
    instance_id: str = ""  # if set, another Instance-Id is refused
    clock_skew_s: float = 0
    token_ttl_s: NotNegative = 24 * 3600

    # Speed.
    latency_ms: Annotated[float, between(0, 60_000)] = 0
    rate: NotNegative = 0  # requests a second for the whole API, 0 is unlimited
    burst: NotNegative = 0  # 0 is the requests of one second
    # devices a second; the platform's speed is unknown
    task_speed: Annotated[
        float, Check(lambda speed: speed > 0, "must be more than 0")
    ] = 500
    task_delay_s: NotNegative = (
        0.2  # Initializing, then Waitting, before the task starts
    )

    # Quotas.
    bind_limit: AtLeastOne = 20
    policies_per_target: AtLeastOne = 5
    policies: AtLeastOne = 50
    running_tasks: AtLeastOne = 10
    task_targets: AtLeastOne = 30_000
